"""The leaderboard of a report in the pages that show it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from benchmarks import pages

NUMBERS = (
    *(f"{rate}{end}" for rate in ("wer", "delta_wer") for end in ("", "_low", "_high")),
    *("bytes", "times_smaller", "real_time_factor", "times_faster", "peak_bytes"),
)
REPORT = """# Leaderboard

| member | WER % |
| :--- | ---: |
| teacher | 50.00 |

![Errors against size](plots/wer_vs_bytes.png)

![Training curves](plots/curves.png)

## WER by gender

![WER by gender](plots/groups_gender.png)

## What is quantized
"""


@pytest.fixture
def finished(tmp_path, monkeypatch) -> Path:
    """A project whose pages show something old, with the reports of two families."""
    monkeypatch.chdir(tmp_path)
    for page in pages.READMES:
        page.write_text(f"{page}\n<!-- leaderboard: begin -->\nold\n<!-- leaderboard: end -->\nafter\n")
    for reports in (Path("reports"), Path("families/small/reports")):
        (reports / "plots").mkdir(parents=True)
        (reports / "leaderboard.md").write_text(REPORT)
        with open(reports / "leaderboard.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, ("member", "digest", *NUMBERS))
            writer.writeheader()
            writer.writerow({"member": "teacher", "digest": "5eed" * 16, **dict.fromkeys(NUMBERS, 0.5)})
        for plot in ("wer_vs_bytes", "curves", "groups_gender"):
            (reports / "plots" / f"{plot}.png").write_bytes(f"{plot} of {reports}".encode())
    pages.RESULTS.parent.mkdir()
    old = "<!-- {0}: begin -->\nold {0}\n<!-- {0}: end -->\n"
    pages.RESULTS.write_text(f"# Results\n{old.format('home')}between\n{old.format('small')}")
    return tmp_path


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pages", *arguments])
    pages.main()


def test_the_own_family_is_shown_on_every_page(finished, monkeypatch):
    run(monkeypatch)
    english, chinese = (page.read_text() for page in pages.READMES)
    assert english.splitlines()[1:3] == ["<!-- leaderboard: begin -->", "```"]
    assert "50.0 [50.0, 50.0]" in english and "old" not in english and english.endswith("end -->\nafter\n")
    assert english.partition("\n")[2] == chinese.partition("\n")[2]
    results = pages.RESULTS.read_text()
    assert "| teacher | 50.00 |" in results and "(img/home_curves.png)" in results and "plots/" not in results
    assert "by gender" not in results and "old home" not in results and "old small" in results
    assert Path("docs/img/home_curves.png").read_bytes() == b"curves of reports"
    shown = {path: path.read_text() for path in (*pages.READMES, pages.RESULTS)}
    run(monkeypatch)  # again: nothing grows
    assert shown == {path: path.read_text() for path in shown}


def test_a_further_family_is_on_the_page_of_results_alone(finished, monkeypatch):
    run(monkeypatch, "--params", "params/small.yaml")
    assert all("old" in page.read_text() for page in pages.READMES)
    results = pages.RESULTS.read_text()
    assert "old home" in results and "old small" not in results and "(img/small_wer_vs_bytes.png)" in results
    assert Path("docs/img/small_curves.png").read_bytes() == b"curves of families/small/reports"


@pytest.mark.parametrize("rest", ["\n## What is quantized\n\n| nothing |\n", ""])
def test_tables_by_group_are_shown_where_they_are_asked_for(finished, monkeypatch, rest):
    report = Path("families/small/reports/leaderboard.md")
    report.write_text(REPORT.partition("\n## What is quantized")[0] + rest)
    run(monkeypatch, "--params", "params/small.yaml", "--groups")
    shown = pages.RESULTS.read_text()
    assert "## WER by gender" in shown and "(img/small_groups_gender.png)" in shown and "quantized" not in shown
    assert Path("docs/img/small_groups_gender.png").is_file()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda: Path("reports/leaderboard.md").unlink(), "reports/leaderboard.md: cannot be read"),
        (lambda: Path("reports/leaderboard.csv").unlink(), "reports/leaderboard.csv: no leaderboard to read"),
        (lambda: Path("reports/leaderboard.md").write_text("# Leaderboard\n"), "a table and '![Training curves]'"),
        (lambda: Path("reports/plots/curves.png").unlink(), "reports/plots/curves.png: cannot be read"),
        (lambda: Path("README.zh.md").write_text("nothing"), "README.zh.md: no place for the leaderboard"),
    ],
    ids=["no-report", "no-table", "half-a-report", "no-plot", "no-marks"],
)
def test_what_is_missing_is_one_message_and_nothing_is_written(finished, monkeypatch, capsys, break_it, said):
    break_it()
    with pytest.raises(SystemExit):
        run(monkeypatch)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
    assert "old" in Path("README.md").read_text() and not Path("docs/img").exists()
