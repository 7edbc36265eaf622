"""Leaderboard, plots, tables and the page of errors from the evaluation."""

from __future__ import annotations

from stages.context import stage_context


def main() -> None:
    with stage_context("report") as context:
        from diminuendo.report.errors.write import write_errors
        from diminuendo.report.write import write_report
        from diminuendo.tracking import lookup, origin

        runs = lookup.runs_of_digests(list(context.parents.values()))
        links = {run: link for run in runs.values() if (link := lookup.link(run)) is not None}
        report = write_report(
            context.params, context.evaluation, context.models, context.out, runs, links, origin.commit_in_words()
        )
        write_errors(report, context.params.evaluate, context.evaluation, context.corpus, context.out)
        for path in sorted(context.out.iterdir()):
            context.track.artifact(path)


if __name__ == "__main__":
    main()
