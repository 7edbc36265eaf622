"""The report of a made-up evaluation: every figure where it belongs, in every format."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser

import pytest

from diminuendo.core.errors import UserError
from diminuendo.parameters import parse_params
from diminuendo.report.family import chain_text, draw_family
from diminuendo.report.rows import build_report
from diminuendo.report.tables import markdown
from diminuendo.report.terminal import read_leaderboard
from diminuendo.report.write import write_report
from tests.factories.audio import dummy_params
from tests.factories.evaluation import FAMILY

WER = {"teacher": 0.08, "student": 0.10, "student-slim": 0.12, "student-int8": 0.11}
BYTES = {"teacher": 5_000_000, "student": 1_000_000, "student-slim": 1_200_000, "student-int8": 250_000}
RUNS = {b"teacher".hex().ljust(64, "0"): "run-of-the-teacher"}
LINKS = {"run-of-the-teacher": "http://server/#/experiments/1/runs/run-of-the-teacher"}
VALUE = "<b>|hills</b>"  # of a manifest; nothing in it may become markup


@pytest.fixture(scope="module")
def params():
    raw = dummy_params().model_dump(mode="json", by_alias=True, exclude_none=True)
    architecture = raw["distill"]["student"]["architecture"]
    family = json.loads(json.dumps(FAMILY))
    family["distill"]["student"] |= {"architecture": architecture}
    return parse_params({**raw, **family})


def interval(value: float, half: float) -> dict[str, float]:
    return {"low": value - half, "high": value + half}


def made_up(folder) -> None:
    members, timing = {}, {}
    for name, wer in WER.items():
        group = {"utterances": 20, "words": 80, "wer": wer, "wer_interval": interval(wer, 0.02)}
        technique = {}
        if name == "student-int8":
            left_out = [{"group": "norms", "reason": "vectors"}]
            shares = {"multiply_accumulates_share": {"8_bit": 0.7, "32_bit": 0.3}, "left_out": left_out}
            technique = {"parameters_share": {"8_bit": 0.95, "16_bit": 0.05}, **shares}
        members[name] = {
            "digest": name.encode().hex().ljust(64, "0"),
            "bytes": BYTES[name],
            "parameters": BYTES[name] // 4,
            "sparsity": 0.25,
            "wer": wer,
            "wer_interval": interval(wer, 0.01),
            "delta_wer": wer - 0.08,
            "delta_wer_interval": interval(wer - 0.08, 0.005),
            "substitutions": 11,
            "deletions": 22,
            "insertions": 33,
            "words": 800,
            "character_errors": 50,
            "characters": 4000,
            "cer": wer / 2,
            "cer_interval": interval(wer / 2, 0.01),
            "blank_rate": 0.7,
            "groups": {"accent": {VALUE: group, "coast": group}, "age": {}},
            "technique": technique,
        }
        factor = 0.005 * BYTES[name] / 5e6
        speed = {
            "real_time_factor": factor,
            "real_time_factor_interval": interval(factor, factor / 10),
            "times_faster": 0.005 / factor,
            "times_faster_interval": interval(0.005 / factor, 0.1),
            "latency_p50": 0.0123,
            "latency_p95": 0.0456,
        }
        timing[name] = {
            "1": speed,
            "2": {**speed, "real_time_factor": factor / 2},
            "peak_bytes": 30_000_000,
            "run": "r",
        }
    whole = {"corpus": "c" * 64, "utterances": 100, "seconds": 300.0, "confidence": 0.95, "bootstrap_samples": 100}
    machine = {"processor": "A processor", "onnxruntime": "1", "threads": 2}
    clock = {"machine": machine, "threads": [1, 2], "utterances": 10, "seconds": 30.0, "repeats": 5}
    clock["runs"] = {"r": {"members": list(timing), "teacher": {}}}
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({**whole, "members": members}))
    (folder / "timing.json").write_text(json.dumps({**clock, "members": timing}))


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
    write_report(params, root / "evaluation", models, root / "reports", RUNS, LINKS)
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
    assert (slim["× faster"], slim["p50 ms"], slim["p95 ms"]) == ("4.17×", "12.3", "45.6")
    assert (slim["memory"], slim["zeros %"], slim["MLflow run"]) == ("30.00 MB", "25.0", "—")
    assert slim["digest"] == b"student-slim".hex()[:12]
    assert rows["teacher"]["ΔWER"] == "—"
    assert rows["teacher"]["MLflow run"].endswith("(http://server/#/experiments/1/runs/run-of-the-teacher)")


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
    assert "8 bit 95.0 %, 16 bit 5.0 %" in text and "norms (vectors)" in text
    assert "| <b>&#124;hills</b> | 20 |" in text
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
    for figure in ("12.00", "[+3.50, +4.50]", "1.20 MB", "teacher → distil → int8 weights", "norms (vectors)"):
        assert figure in page.text
    outside = [link for link in page.links if not link.startswith("data:image/png;base64,")]
    assert outside == ["http://server/#/experiments/1/runs/run-of-the-teacher"]


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
        assert len(list(csv.DictReader(file))) == 2 * 4


def test_terminal_fits_and_reads(written):
    shown = read_leaderboard(written / "reports")
    assert max(map(len, shown.splitlines())) <= 120
    line = next(line for line in shown.splitlines() if line.startswith("student-slim"))
    assert line.split()[1:4] == ["12.0", "[11.0,", "13.0]"] and "+4.0 [+3.5, +4.5]" in line
    with pytest.raises(UserError, match="dvc repro"):
        read_leaderboard(written / "nowhere")


def test_an_evaluation_of_another_family_is_refused(params, written, tmp_path):
    other = parse_params(params.model_dump(mode="json", by_alias=True, exclude_none=True) | {"prune": {}})
    with pytest.raises(UserError, match=r"student-slim.*run `dvc repro`"):
        write_report(other, written / "evaluation", {}, tmp_path)
    with pytest.raises(UserError, match="dvc repro evaluate"):
        write_report(params, tmp_path / "nowhere", {}, tmp_path)


def test_the_same_evaluation_gives_the_same_bytes(params, written, tmp_path):
    models = {name: written / "models" / name for name in WER}
    write_report(params, written / "evaluation", models, tmp_path, RUNS, LINKS)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 10
    for file in files:
        assert (tmp_path / file).read_bytes() == (written / "reports" / file).read_bytes(), file


def test_family_is_drawn_below_its_parents(params):
    assert chain_text(params, "student-int8") == "teacher → distil → int8 weights"
    lines = draw_family(params).splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["teacher", "└─ student"]
    assert lines[2].startswith("   ├─ student-slim") and lines[3].startswith("   └─ student-int8")
