"""The report of a made-up evaluation: every figure where it belongs, in every format."""

from __future__ import annotations

import csv
import html
import json
import re
from html.parser import HTMLParser

import pytest

from diminuendo.core.errors import UserError
from diminuendo.parameters import parse_params
from diminuendo.report.family import chain_text, draw_family
from diminuendo.report.figures import _curves
from diminuendo.report.page import html_page
from diminuendo.report.rows import build_report
from diminuendo.report.tables import legend, markdown
from diminuendo.report.terminal import read_leaderboard
from diminuendo.report.write import write_report
from tests.factories.evaluation import family_params
from tests.factories.reported import VALUE, WER, made_up

RUNS = {b"teacher".hex().ljust(64, "0"): "run-of-the-teacher"}
LINKS = {"run-of-the-teacher": "http://server/#/experiments/1/runs/run-of-the-teacher"}
COMMIT = "1a2b3c4d5e6f of 2026-11-29"


@pytest.fixture(scope="module")
def params():
    return family_params()


@pytest.fixture(scope="module")
def written(params, tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    made_up(root / "evaluation")
    models = {name: root / "models" / name for name in WER}
    for name, folder in models.items():
        folder.mkdir(parents=True)
        if name != "student-int8":
            (folder / "history.csv").write_text(
                "step,epoch,loss,dev_wer\n10,0.5,3.0,\n20,1.0,2.0,0.5\n40,2.0,1.0,0.25\n"
            )
    write_report(params, root / "evaluation", models, root / "reports", RUNS, LINKS, COMMIT)
    return root


def table_of(markdown: str) -> list[dict[str, str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    titles = [cell.strip() for cell in lines[0].strip("|").split("|")]
    rows = []
    for line in lines[2:]:
        if len(cells := line.strip("|").split("|")) != len(titles):
            break
        rows.append(dict(zip(titles, (cell.strip() for cell in cells))))
    return rows


def test_markdown_rows(written):
    rows = {row["member"]: row for row in table_of((written / "reports" / "leaderboard.md").read_text())}
    assert list(rows) == ["teacher", "student-slim", "student", "student-int8"]  # the teacher, then by size
    slim = rows["student-slim"]
    assert slim["chain"] == "teacher → distil → prune structure"
    assert (slim["WER %"], slim["interval"]) == ("12.00", "[11.00, 13.00]")
    assert (slim["ΔWER"], slim["ΔWER interval"]) == ("+4.00", "[+3.50, +4.50]")
    assert slim["S/D/I"] == "11/22/33" and slim["CER %"] == "6.00"
    assert (slim["size"], slim["× smaller"], slim["parameters"]) == ("1.20 MB", "4.17×", "300 k")
    assert (slim["RTF, 1 thread"], slim["RTF, all threads"]) == ("0.00120", "0.00060")
    assert (slim["× faster"], slim["p50 ms"], slim["p99 ms"]) == ("4.17×", "12.3", "78.9")
    assert (slim["memory"], slim["zeros %"], slim["MLflow run"]) == ("30.00 MB", "25.0", "—")
    assert slim["digest"] == b"student-slim".hex()[:12]
    assert rows["teacher"]["ΔWER"] == "—"
    assert rows["teacher"]["MLflow run"].endswith("(http://server/#/experiments/1/runs/run-of-the-teacher)")


def test_what_compression_hides_has_a_table_of_its_own(written):
    text = (written / "reports" / "leaderboard.md").read_text()
    rows = {row["member"]: row for row in table_of(text[text.index("## What compression hides") :])}
    student = rows["student"]
    assert list(student)[1:4] == ["no worse than the teacher, %", "WER clean, %", "WER at 10 dB, %"]
    assert student["no worse than the teacher, %"] == "90.0 [88.0, 92.0]"
    assert student["WER at -5 dB, %"] == "40.00 [39.00, 41.00] Δ +32.00 [+31.50, +32.50]"
    assert student["words a minute, noise alone"] == "6.0 [3.0, 9.0] Δ +6.0 [+4.0, +8.0]"
    assert rows["teacher"]["words a minute, noise alone"] == "6.0 [3.0, 9.0]" and "40 of the test utterances" in text
    assert student["repetition loops (new)"] == "7 (4) at -5 dB: 6 (4) silence: 1 (0)"
    assert rows["teacher"]["repetition loops (new)"] == "3 at -5 dB: 2 silence: 1" and "member's 180 texts" in text
    assert rows["teacher"]["no worse than the teacher, %"] == "—" and "over the 33 speakers" in text
    page = Page()
    page.feed((written / "reports" / "leaderboard.html").read_text())
    assert "What compression hides" in page.text and "Δ +32.00 [+31.50, +32.50]" in page.text
    metrics = json.loads((written / "reports" / "metrics.json").read_text())["student"]
    assert metrics["wer_snr_10"] == 0.2 and metrics["hallucinated_words_per_minute"] == 3.0
    assert metrics["loops"] == 7 and metrics["new_loops"] == 4
    with open(written / "reports" / "leaderboard.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["member"] == "student")
    assert float(row["hallucinated_words_per_minute_noise_high"]) == 9.0 and float(row["no_worse_share_low"]) == 0.88
    assert float(row["delta_hallucinated_words_per_minute_high"]) == 4.0
    assert [row[f"{name}loops{part}"] for name in ("", "new_") for part in ("", "_snr_-5")] == ["7", "6", "4", "4"]


def test_an_evaluation_from_before_loops_were_counted_is_read_and_shows_a_dash(params, tmp_path):
    made_up(tmp_path / "evaluation")
    path = tmp_path / "evaluation" / "metrics.json"
    found = json.loads(path.read_text())
    for member in found["members"].values():
        del member["loops"], member["headline"]["loops"], member["headline"]["new_loops"]
        for part in member["hallucinated"].values():
            del part["delta_words_per_minute"], part["delta_words_per_minute_interval"]
    path.write_text(json.dumps(found))
    write_report(params, tmp_path / "evaluation", {name: tmp_path / name for name in WER}, tmp_path / "reports")
    text = (tmp_path / "reports" / "leaderboard.md").read_text()
    student = {row["member"]: row for row in table_of(text[text.index("## What compression hides") :])}["student"]
    assert student["repetition loops (new)"] == "—" and student["words a minute, noise alone"] == "6.0 [3.0, 9.0]"
    assert (
        "Repetition loops: those" not in text and "loops" not in (tmp_path / "reports" / "leaderboard.csv").read_text()
    )


def test_an_evaluation_of_an_earlier_version_is_to_be_made_anew(params, tmp_path):
    for name, key in (("metrics", "resampled"), ("timing", "latency_p99")):
        made_up(tmp_path / name)
        path = tmp_path / name / f"{name}.json"
        found = json.loads(path.read_text())
        for part in (found, *(member.get("1", {}) for member in found["members"].values())):
            part.pop(key, None)
        path.write_text(json.dumps(found))
        with pytest.raises(UserError, match=rf"has no '{key}'.*earlier version.*`make repro ARGS='evaluate'`"):
            build_report(params, tmp_path / name)


def test_members_that_were_timed_apart_are_told(written, params, tmp_path):
    assert "Timed in" not in (written / "reports" / "leaderboard.md").read_text()
    evaluation = tmp_path / "evaluation"
    made_up(evaluation)
    timing = json.loads((evaluation / "timing.json").read_text())
    timing["runs"]["s"] = {"members": [], "teacher": {}}
    (evaluation / "timing.json").write_text(json.dumps(timing))
    assert "Timed in 2 runs" in markdown(build_report(params, evaluation))


def test_markdown_has_groups_coverage_and_only_figures_that_exist(written):
    text = (written / "reports" / "leaderboard.md").read_text()
    assert "| 8 bit 95.0 %, 16 bit 5.0 % | 8 bit 70.0 %, 32 bit 30.0 % | 0.0 % | 0.012 | a |" in text
    assert "\n- **a** norms: vectors\n" in text
    groups = text[text.index("## WER by accent") :]
    assert "| member | &lt;b&gt;&#124;hills&lt;/b&gt; | coast |\n|:---|---:|---:|\n| utterances | 20 | 20 |\n" in groups
    assert "| student-slim | 12.00 [11.00, 13.00] | 12.00 [11.00, 13.00] |" in groups
    assert "WER by age" not in text  # no utterance states one
    images = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(images) == 4
    for image in images:
        assert (written / "reports" / image).read_bytes().startswith(b"\x89PNG")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text, self.links, self.open = "", [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_whole_and_self_contained(written):
    page = Page()
    page.feed((written / "reports" / "leaderboard.html").read_text())
    assert page.open == []
    assert VALUE in page.text  # shown as text, not as markup
    for figure in ("12.00", "[+3.50, +4.50]", "1.20 MB", "teacher → distil → int8 weights", "a norms: vectors"):
        assert figure in page.text
    members = ("student-slim", "student", "student-int8")
    assert page.links == [
        "http://server/#/experiments/1/runs/run-of-the-teacher",
        *(f"errors.html#to={member}" for member in members),
        "errors.html",
    ]


def test_the_page_names_commit_corpus_and_the_member_to_be_shipped(params, written):
    text = (written / "reports" / "leaderboard.html").read_text()
    assert f"<title>Leaderboard of commit {COMMIT} · diminuendo</title>" in text
    assert f"<code>{'c' * 12}</code>" in text
    assert "shipped</span>" not in text  # the family ships none of these
    page = html_page(build_report(params, written / "evaluation"), {}, "student-slim")
    # The gate may refuse it still: the page does not say that it was shipped.
    assert page.count("shipped</span>") == page.count(">to be shipped</span>") == 1
    assert page.index("student-slim") < page.index("shipped</span>") < page.index(">student-int8")
    badge = re.search(r'<span class="to-ship" title="([^"]*)">', page)
    assert "ship.member" in badge[1] and "gate" in badge[1]


def test_figures_of_the_page_follow_its_colours_and_fit_a_phone(written):
    text = (written / "reports" / "leaderboard.html").read_text()
    assert "prefers-color-scheme: dark" in text
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 2 * 4  # wide and narrow
    widths = [float(re.search(r'viewBox="0 0 ([\d.]+)', figure)[1]) for figure in figures]
    assert all(wide > 600 and narrow < 350 for wide, narrow in zip(widths[::2], widths[1::2]))  # points
    drawn = "".join(figures)
    assert not re.search("#222222|#000000|#ffffff", drawn) and "var(--ink)" in drawn
    assert "student-int8" in drawn  # as text
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert ids and len(ids) == len(set(ids))


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_equal_values_have_an_axis_that_can_be_read(rate):
    figure = _curves([{"member": "m", "epoch": str(e), "loss": "2.0", "dev_wer": str(rate)} for e in (1, 2)], False)
    figure.canvas.draw()
    for axes, value in zip(figure.axes, (2.0, 100 * rate)):
        low, high = axes.get_ylim()
        assert low <= value < high and len([tick for tick in axes.get_yticks() if low <= tick <= high]) >= 3


@pytest.mark.parametrize(
    ("rate", "title"), [("wer", "word error rate on dev, %"), ("cer", "character error rate on dev, %")]
)
def test_the_curve_on_dev_is_of_what_training_counted(rate, title):
    figure = _curves([{"member": "m", "epoch": "1", f"dev_{rate}": "0.5"}], False)
    axes = figure.axes[1]
    assert axes.get_ylabel() == title and list(axes.lines[0].get_ydata()) == [50.0]


def test_a_row_of_dvc_metrics_is_a_member(written):
    folder = written / "reports" / "summary"
    assert {path.stem for path in folder.iterdir()} == set(WER)
    found = json.loads((folder / "student-slim.json").read_text())
    assert found == {"WER_%": 12.0, "delta_%": 4.0, "kB": 1200.0, "smaller": 4.17, "ms_per_s": 1.2, "faster": 4.17}


def test_tables_for_dvc(written):
    metrics = json.loads((written / "reports" / "metrics.json").read_text())
    assert metrics["student"]["wer"] == 0.10 and metrics["student"]["delta_wer_high"] == pytest.approx(0.025)
    assert all(isinstance(value, (int, float)) for member in metrics.values() for value in member.values())
    with open(written / "reports" / "leaderboard.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["bytes"]) == 250_000 and rows[-1]["stage"] == "quantize"
    with open(written / "reports" / "curves.csv", newline="") as file:
        curves = list(csv.DictReader(file))
    assert len(curves) == 9 and curves[0] == {
        "member": "teacher",
        "step": "10",
        "epoch": "0.5",
        "loss": "3.0",
        "dev_wer": "",
    }
    with open(written / "reports" / "groups.csv", newline="") as file:
        groups = list(csv.DictReader(file))
    assert len(groups) == 2 * 4 and "raw_wer" not in groups[0]
    student = next(row for row in groups if row["member"] == "student")
    assert float(student["wer_high"]) == pytest.approx(0.11) and float(student["delta_wer_low"]) == pytest.approx(0.015)
    assert float(student["cer"]) == 0.05 and student["characters"] == "400"


def test_by_characters_every_table_and_plot_is(params, tmp_path):
    made_up(tmp_path / "evaluation", measure="cer")
    models = {name: tmp_path / name for name in WER}
    write_report(params, tmp_path / "evaluation", models, tmp_path / "reports")
    text = (tmp_path / "reports" / "leaderboard.md").read_text()
    slim = next(row for row in table_of(text) if row["member"] == "student-slim")
    assert (slim["CER %"], slim["ΔCER"], slim["WER %"]) == ("6.00", "-2.00", "12.00")
    assert slim["S/D/I"] == "111/122/133" and "## CER by accent" in text and "6.00 [5.00, 7.00]" in text
    assert "![Character error rate against file size](plots/cer_vs_bytes.png)" in text
    page = (tmp_path / "reports" / "leaderboard.html").read_text()
    assert "<th>CER %" in page and "<th>WER %</th>" in page and "Character error rate by accent" in page
    shown = read_leaderboard(tmp_path / "reports")
    assert "CER %, interval" in shown and "ΔCER, interval" in shown and "-2.0 [-2.5, -1.5]" in shown


@pytest.mark.parametrize(
    ("how", "told"),
    [("replace", "are � in the references: each is an error"), ("drop", "were left out of the references, so no")],
)
def test_characters_that_no_model_can_write_are_counted_on_both_pages(params, tmp_path, how, told):
    made_up(tmp_path / "evaluation")
    assert not any(
        "No model can write" in sentence for sentence in legend(build_report(params, tmp_path / "evaluation"))
    )
    metrics = json.loads((tmp_path / "evaluation/metrics.json").read_text())
    metrics["unknown"] = {"how": how, "characters": 12, "different": list("é<zxyvwuqk")}
    (tmp_path / "evaluation/metrics.json").write_text(json.dumps(metrics))
    report = build_report(params, tmp_path / "evaluation")
    for page in (markdown(report), html.unescape(html_page(report, {}, None))):
        assert f"No model can write 12 character(s) of test, 10 different; they {told}" in page
        assert f"(text.unknown: {how}): 'é' (U+00E9), '<' (U+003C), 'z' (U+007A)" in page and "'u' (U+0075) …." in page


def test_after_a_normaliser_the_raw_rates_are_further_columns(params, tmp_path):
    made_up(tmp_path / "evaluation", raw=True)
    models = {name: tmp_path / name for name in WER}
    report = write_report(params, tmp_path / "evaluation", models, tmp_path / "reports")
    slim = next(row for row in table_of(markdown(report)) if row["member"] == "student-slim")
    assert (slim["WER %"], slim["CER %"], slim["raw WER %"], slim["raw CER %"]) == ("12.00", "6.00", "13.00", "7.00")
    said = "WER and CER are of texts after the normaliser basic (a_package 1.2), references and hypotheses alike."
    assert said in markdown(report) and "References without words after it: 2." in markdown(report)
    metrics = json.loads((tmp_path / "reports" / "metrics.json").read_text())["student-slim"]
    assert (metrics["wer"], metrics["raw_wer"], metrics["raw_words"]) == (0.12, 0.13, 801)
    with open(tmp_path / "reports" / "groups.csv", newline="") as file:
        assert float(next(csv.DictReader(file))["raw_wer_low"]) == pytest.approx(0.08)
    shown = read_leaderboard(tmp_path / "reports")
    assert "Of texts after the normaliser basic" in shown


def test_a_table_from_before_there_was_a_choice_is_read(written, tmp_path):
    with open(written / "reports" / "leaderboard.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in ("measure", "normalizer")} for row in csv.DictReader(file)]
    with open(tmp_path / "leaderboard.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert read_leaderboard(tmp_path).splitlines()[:-1] == read_leaderboard(written / "reports").splitlines()[:-1]


def test_terminal_fits_and_reads(written):
    shown = read_leaderboard(written / "reports")
    assert max(map(len, shown.splitlines())) <= 120
    line = next(line for line in shown.splitlines() if line.startswith("student-slim"))
    assert line.split()[1:4] == ["12.0", "[11.0,", "13.0]"] and "+4.0 [+3.5, +4.5]" in line
    with pytest.raises(UserError, match=r"nowhere/leaderboard.csv: .* none has been made yet; run `make repro` first$"):
        read_leaderboard(written / "nowhere")


def test_a_difference_that_rounds_to_zero_has_no_minus(params, tmp_path):
    made_up(tmp_path / "evaluation")
    path = tmp_path / "evaluation" / "metrics.json"
    path.write_text(re.sub(r'("delta_[^"]*": )(?:-?[\d.e-]+|{[^}]*})', _hardly_below_zero, path.read_text()))
    report = write_report(
        params, tmp_path / "evaluation", {name: tmp_path / name for name in WER}, tmp_path / "reports"
    )
    page = html.unescape(html_page(report, {}))
    texts = [page, markdown(report), read_leaderboard(tmp_path / "reports")]
    for text in texts:
        assert re.search(r"\+0\.00? +\[\+0\.00?, \+0\.00?\]", re.sub(r"<[^>]*>|\n", " ", text))
        assert not re.search(r"-0\.0+\b", text)
    summary = (tmp_path / "reports" / "summary" / "student.json").read_text()
    assert '"delta_%": 0.0' in summary


def _hardly_below_zero(found: re.Match[str]) -> str:
    return found[1] + ('{"low": -1e-6, "high": -1e-7}' if found[0].endswith("}") else "-5e-7")


def test_an_evaluation_of_another_family_is_refused(params, written, tmp_path):
    other = parse_params(params.model_dump(mode="json", by_alias=True, exclude_none=True) | {"prune": {}})
    with pytest.raises(UserError, match=r"student-slim.*run `make repro`"):
        write_report(other, written / "evaluation", {}, tmp_path)
    with pytest.raises(UserError, match="make repro ARGS='evaluate'"):
        write_report(params, tmp_path / "nowhere", {}, tmp_path)


def test_the_same_evaluation_gives_the_same_bytes(params, written, tmp_path):
    models = {name: written / "models" / name for name in WER}
    write_report(params, written / "evaluation", models, tmp_path, RUNS, LINKS, COMMIT)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 14
    for file in files:
        assert (tmp_path / file).read_bytes() == (written / "reports" / file).read_bytes(), file


def test_family_is_drawn_below_its_parents(params):
    assert chain_text(params, "student-int8") == "teacher → distil → int8 weights"
    lines = draw_family(params).splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["teacher", "└─ student"]
    assert lines[2].startswith("   ├─ student-slim") and lines[3].startswith("   └─ student-int8")
