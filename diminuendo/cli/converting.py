"""The command ``convert``."""

from __future__ import annotations

from pathlib import Path

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.out import OUT_FILE
from diminuendo.core.plain_text import echo

OPSETS = ("18", "19", "20", "21", "22")


@click.command()
@click.argument("model", type=click.Path())
@click.option("--opset", type=click.Choice(OPSETS), required=True, help="Of ONNX; what your runtime knows at most.")
@click.option("--out", type=OUT_FILE, required=True, help="The file to write.")
def convert(model: str, opset: str, out: Path) -> None:
    """Write MODEL for other and older runtimes: the same function in operators of an earlier opset.

    The new file is run beside MODEL before it is kept, and names MODEL by its digest: trace and reproduce know it.
    It is slower in ONNX Runtime, which has an operator for attention as a whole.
    """
    with plain_errors():
        from diminuendo.export.convert import convert_file
        from diminuendo.runtime.model import AcousticModel

        AcousticModel(model, threads=1)  # whole, and one of ours
        echo(str(convert_file(Path(model), int(opset), out)))


def add_to(group: click.Group) -> None:
    group.add_command(convert)
