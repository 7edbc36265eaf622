"""Leaderboard, plots and tables from the evaluation."""

from __future__ import annotations

from stages.room import room


def main() -> None:
    with room("report") as r:
        from diminuendo.report.write import write_report
        from diminuendo.tracking import lookup

        runs = lookup.runs_of_digests(list(r.parents.values()))
        links = {run: lookup.link(run) for run in runs.values()}
        write_report(r.params, r.evaluation, r.models, r.out, runs, links)
        for path in sorted(r.out.iterdir()):
            r.track.artifact(path)


if __name__ == "__main__":
    main()
