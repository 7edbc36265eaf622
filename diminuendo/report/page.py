"""The leaderboard as one self-contained HTML file."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from diminuendo.report import coverage as coverage_table
from diminuendo.report import format as as_text
from diminuendo.report import hidden_table
from diminuendo.report.drawing import Drawing
from diminuendo.report.rows import Report, pareto_front
from diminuendo.report.tables import legend, other_rates

FILTERS = {
    "percent": as_text.percent,
    "percent_interval": as_text.percent_interval,
    "points": as_text.points,
    "points_interval": as_text.points_interval,
    "size": as_text.size,
    "times": as_text.times,
    "real_time": as_text.real_time,
    "milliseconds": as_text.milliseconds,
    "count_text": as_text.count,
}


def html_page(
    report: Report, figures: dict[str, Drawing], to_ship: str | None = None, commit: str | None = None
) -> str:
    """The page, the same bytes for the same figures and commit. Every text from a manifest or a file name is escaped.

    Args:
        figures: by title.
        to_ship: the member that ``ship.member`` names; whether it may be shipped is for the gate to say.
        commit: of the code, with its date.
    """
    environment = Environment(
        loader=PackageLoader("diminuendo.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= FILTERS
    front = pareto_front([(row.bytes, row.errors.figure) for row in report.rows])
    return environment.get_template("leaderboard.html.j2").render(
        report=report,
        legend=legend(report),
        others=other_rates(report),
        hidden=hidden_table,
        covered=coverage_table,
        front={report.rows[index].member for index in front},
        figures={title: (Markup(drawing.wide), Markup(drawing.narrow)) for title, drawing in figures.items()},
        to_ship=to_ship,
        commit=commit,
    )
