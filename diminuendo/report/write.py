"""Write the whole report: what the report stage does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from diminuendo.core.files import write_json, write_text
from diminuendo.parameters.schema import Params
from diminuendo.report import tables
from diminuendo.report.figures import draw_figures
from diminuendo.report.page import html_page
from diminuendo.report.rows import Report, build_report

SUMMARIES = "summary"  # a file for each member, which is a row of `dvc metrics show`


def write_report(
    params: Params,
    evaluation: Path,
    models: dict[str, Path],
    out: Path,
    runs: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
    commit: str | None = None,
) -> Report:
    """Fill ``out`` (see the package's documentation); arguments as in :func:`~diminuendo.report.rows.build_report`.

    Args:
        models: name to folder, whose ``history.csv`` are the training curves.
        commit: of the code, with its date, as the page names it.
    """
    report = build_report(params, evaluation, runs, links)
    curves = tables.read_curves({row.member: models[row.member] for row in report.rows})
    figures = draw_figures(report, curves, out / "plots")
    write_text(out / "leaderboard.md", tables.markdown(report))
    write_text(
        out / "leaderboard.html",
        html_page(report, figures, to_ship=params.ship.member if params.ship else None, commit=commit),
    )
    write_text(out / "leaderboard.csv", tables.leaderboard_csv(report))
    write_text(out / "groups.csv", tables.groups_csv(report))
    write_text(out / "curves.csv", tables.curves_csv(curves))
    write_json(out / "metrics.json", tables.metrics_json(report))
    (out / SUMMARIES).mkdir()
    for row in report.rows:
        write_json(out / SUMMARIES / f"{row.member}.json", tables.summary_json(row))
    return report
