"""A drift report as files."""

from __future__ import annotations

import os
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.files import fresh_folder, write_json, write_text
from diminuendo.core.plain_text import shown
from diminuendo.drift.report import Report

FILES = {"drift.json", "drift.md", "drift.png"}


def write_report(report: Report, folder: str | Path) -> None:
    """Write ``drift.json``, ``drift.md`` and ``drift.png``; they replace those of an earlier report.

    Raises:
        UserError: the folder holds something else, which would be lost.
    """
    from diminuendo.drift.figure import draw

    _check(Path(folder))
    with fresh_folder(folder) as place:
        write_json(place / "drift.json", report.as_dict())
        write_text(place / "drift.md", f"# Drift\n\n{report.markdown()}\n![](drift.png)\n")
        draw(report, place / "drift.png")


def _check(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: not a folder, or a link to one; expected a folder for the report")
    if more := sorted({path.name for path in folder.iterdir()} - FILES):
        raise UserError(
            f"{folder}: holds {shown(more[0])!r}, which no report wrote and which would be lost; give another folder"
        )
