"""Where a command writes: what is replaced there must be a file."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from diminuendo.core.files import keep_inputs, left_over
from diminuendo.core.plain_text import shown


class OutFile(click.Path):
    """A file to write. It comes in place of the one that is there, so a device, a pipe or a folder is refused.

    Of a link, the file that it names is written: replacing the link would change another place than was asked for.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.path.realpath(value)) if os.path.islink(value) else super().convert(value, param, ctx)
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):  # nothing is there; what keeps it from being written is told then
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            self.fail(f"{shown(str(value)) or '.'}: a folder, expected the name of the file to write", param, ctx)
        if not stat.S_ISREG(mode):
            self.fail(f"{shown(str(value))}: a pipe or a device, expected the name of the file to write", param, ctx)
        _tidy(path)
        return path


def keep_model(target: Path, model: Path | None) -> None:
    """Refuse to write in the place of a model that was named by a digest or a member's name, or of its weights."""
    if model is not None and model.is_file():
        from diminuendo.artifact.external_data import files_of

        keep_inputs(target, *files_of(model))


def _tidy(path: Path) -> None:
    """Remove what runs that were killed left beside a file that is now written again."""
    with suppress(OSError, ValueError):
        for stale in left_over(path):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)


OUT_FILE = OutFile()
