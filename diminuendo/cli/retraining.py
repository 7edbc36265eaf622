"""Commands on new data: ``drift`` and ``retrain``."""

from __future__ import annotations

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.prepared import corpus_of_family
from diminuendo.core.plain_text import echo


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (drift, retrain):
        group.add_command(command)


@click.command()
@click.argument("new", type=click.Path())
@click.option(
    "--reference",
    type=click.Path(),
    help="What training had: a prepared corpus (by default the family's), manifests, or saved statistics (.json).",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--out", type=click.Path(), help="Also write drift.json, drift.md and drift.png to this folder.")
def drift(new: str, reference: str | None, as_json: bool, out: str | None) -> None:
    """Show how NEW data differs from what a model was trained on.

    NEW is a manifest, a folder of manifests or a prepared corpus. Limits are those of `drift` in params.yaml. Shifted
    data is not an error: the exit status is 0.
    """
    with plain_errors():
        import json
        from pathlib import Path

        from diminuendo.core.errors import UserError
        from diminuendo.drift import compare, statistics_of, write_report
        from diminuendo.family import current
        from diminuendo.parameters import load_params

        params = load_params(current().params)
        if params.drift is None:
            raise UserError("params.yaml: drift: missing; add stability_index and out_of_vocabulary")
        before = Path(reference) if reference else corpus_of_family("--reference")
        trained = statistics_of(before, params.text.lowercase, splits=("train",))
        report = compare(trained, statistics_of(Path(new), params.text.lowercase), params.drift)
        if out:
            write_report(report, out)
        as_text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False) if as_json else report.markdown().rstrip()
        echo(as_text)


@click.command()
@click.option("--only-if-new", is_flag=True, help="End at once where no new batch has arrived.")
@click.option("--jobs", type=click.IntRange(min=1), help="Stages side by side; by default one a core, or one a GPU.")
def retrain(only_if_new: bool, jobs: int | None) -> None:
    """Train again with the batches that have arrived, and ship the result if the gate lets it pass.

    It works in its own git worktree (`retrain.workspace`). The exit status is 1 if the gate refused the new model,
    2 for a mistake that you can correct, 70 if a stage failed, 75 if another retraining is running, 130 if it was
    interrupted.
    """
    import os
    import sys

    from diminuendo.core.extras import is_installed

    with plain_errors(extra="pipeline"):
        if not is_installed("prefect"):
            raise ModuleNotFoundError(name="prefect")
        os.getcwd()  # the flow could not say that the folder is gone
    options = ["--only-if-new"] * only_if_new + (["--jobs", str(jobs)] if jobs else [])
    # In place of this process: signals reach the flow, and its exit status is ours.
    os.execv(sys.executable, [sys.executable, "-m", "flows.with_server", "flows.retrain", *options])
