"""A corpus in Chinese through every stage: errors are counted in characters wherever they are told."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from diminuendo.data.prepared import PreparedCorpus
from diminuendo.gate import gate
from diminuendo.gate.decision import NOT_JUDGED
from diminuendo.parameters import load_params
from diminuendo.registry.logged import fetch_logged
from stages import evaluate, member, prepare, report, train_teacher
from tests.factories.audio import RATE, dummy_corpus, manifest_params, read_manifest, write_manifest
from tests.factories.minute import TINY

HAN = str.maketrans("abcde", "今天气很好", " ")
RARE = "鑫"  # in no text of train
FAMILY = {
    "text.unknown": "replace",
    "training.dev_every": 1,
    "teacher": {"architecture": TINY, "training": {"epochs": 2}},
    "distill": {},
    "compress_architecture": {},
    "prune": {},
    "quantize": {"teacher-int8": {"from": "teacher", "scheme": "int8_dynamic"}},
    "ship": {"model": "mandarin", "member": "teacher-int8"},
    "evaluate.bootstrap_samples": 20,
    "evaluate.timing_utterances": 2,
    "evaluate.timing_repeats": 1,
    "evaluate.noise": None,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project after its stages; in test, a character that train lacks and a recording in which nobody speaks."""
    folder = tmp_path_factory.mktemp("mandarin")
    source = dummy_corpus(folder / "source")
    for split in ("train", "dev", "test"):
        lines = [line | {"text": line["text"].translate(HAN)} for line in read_manifest(source / f"{split}.jsonl")]
        if split == "test":
            lines[0]["text"] += RARE
            hiss = 0.01 * np.random.default_rng(0).standard_normal(RATE)
            soundfile.write(source / "hiss.wav", hiss, RATE)
            lines.append(lines[0] | {"audio_filepath": "hiss.wav", "duration": 1.0, "text": "", "id": "hiss"})
        write_manifest(source / f"{split}.jsonl", lines)
    raw = manifest_params(source, **FAMILY).model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DIMINUENDO_TRACKING", "off")
        prepare.main()
        train_teacher.main()
        patch.setattr(sys, "argv", ["member", "quantize", "teacher-int8"])
        member.main()
        evaluate.main()
        report.main()
        yield folder


def test_the_dev_curve_is_of_characters(project):
    with open(project / "models/teacher/history.csv", newline="") as file:
        columns = next(csv.reader(file))
    assert "dev_cer" in columns and "dev_wer" not in columns
    assert "dev_cer" in (project / "reports/curves.csv").read_text().splitlines()[0]


def test_leaderboard_plots_and_front_are_by_characters(project):
    page = (project / "reports/leaderboard.md").read_text()
    assert "| CER % | interval | ΔCER |" in page and "Members are compared by CER" in page
    assert {path.stem for path in (project / "reports/plots").iterdir()} >= {"cer_vs_bytes", "cer_vs_rtf", "curves"}
    assert not list((project / "reports/plots").glob("wer*"))
    front = re.findall(
        r'title="on the Pareto front"><a [^>]*>([\w-]+)', (project / "reports/leaderboard.html").read_text()
    )
    assert "teacher-int8" in front
    row = json.loads((project / "reports/summary/teacher.json").read_text())
    assert "CER_%" in row and "WER_%" not in row


def test_a_character_that_no_model_can_write_is_an_error_and_is_told(project):
    corpus = PreparedCorpus.open(project / "data/prepared")
    assert corpus.test[0].text.endswith("�") and RARE not in "".join(corpus.tokens)
    metrics = json.loads((project / "evaluation/metrics.json").read_text())
    assert metrics["unknown"] == {"how": "replace", "characters": 1, "different": [RARE]}
    assert metrics["members"]["teacher"]["cer"] > 0
    assert f"'{RARE}' (U+946B)" in (project / "reports/leaderboard.md").read_text()


def test_what_is_written_where_nobody_speaks_is_counted(project):
    metrics = json.loads((project / "evaluation/metrics.json").read_text())
    for name in ("teacher", "teacher-int8"):
        lines = [
            json.loads(line) for line in (project / f"evaluation/{name}/hypotheses.jsonl").read_text().splitlines()
        ]
        hiss = next(line for line in lines if line["id"] == "hiss")
        assert (hiss["reference"], hiss["words"], hiss["characters"]) == ("", 0, 0)
        assert hiss["character_insertions"] == hiss["character_errors"] == len(hiss["hypothesis"])
        found = metrics["members"][name]
        assert found["characters"] == sum(line["characters"] for line in lines)
        assert found["hallucinated"]["test"] | {"clips": 1, "minutes": 1 / 60} == found["hallucinated"]["all"]
        assert found["hallucinated"]["all"]["characters"] == hiss["character_insertions"]


def test_the_gate_judges_by_characters(project):
    tests = {"prepared": Path("data/prepared")}
    model = Path("models/teacher-int8/model.onnx")
    decision = gate(load_params(), model, tests=tests, champion=None, fetch=fetch_logged, say=str)
    (test,) = decision.tests
    rules = {(rule.reference, rule.name): rule for rule in decision.rules}
    assert test.unit == "characters" and {("teacher", "cer"), ("evidence", "characters")} <= rules.keys()
    assert ("evidence", "words") not in rules and rules["file", "wer"].verdict == NOT_JUDGED
    metrics = json.loads((project / "evaluation/metrics.json").read_text())["members"]["teacher-int8"]
    assert rules["file", "cer"].figure == pytest.approx(metrics["cer"])
