"""The command ``profile``."""

from __future__ import annotations

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.core.plain_text import echo


@click.command()
@click.argument("model")
@click.option("--seconds", type=float, default=2.5, show_default=True, help="Audio of one run.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads to use.")
@click.option("--runs", type=click.IntRange(min=1), default=200, show_default=True, help="Runs to take medians of.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def profile(model: str, seconds: float, threads: int, runs: int, as_json: bool) -> None:
    """Show where the time of MODEL goes, and what this machine could do.

    MODEL is an .onnx file or the folder of one, a member's name, a digest, or a name in the registry.
    """
    with plain_errors():
        import json

        from diminuendo.cli.named_model import model_file
        from diminuendo.profiling import profile as measure
        from diminuendo.profiling.table import as_dict, as_text
        from diminuendo.runtime.trial import try_out

        model = model_file(model)
        try_out(model)
        found = measure(model, seconds, threads, runs)
        echo(json.dumps(as_dict(found), indent=1) if as_json else as_text(found))


def add_to(group: click.Group) -> None:
    group.add_command(profile)
