"""A drift report as files."""

from __future__ import annotations

from pathlib import Path

from diminuendo.core.files import fresh_folder, write_json, write_text
from diminuendo.drift.report import Report


def write_report(report: Report, folder: str | Path) -> None:
    """Write ``drift.json``, ``drift.md`` and ``drift.png``; they replace everything in the folder."""
    from diminuendo.drift.figure import draw

    with fresh_folder(folder) as place:
        write_json(place / "drift.json", report.as_dict())
        write_text(place / "drift.md", f"# Drift\n\n{report.markdown()}\n![](drift.png)\n")
        draw(report, place / "drift.png")
