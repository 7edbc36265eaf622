"""A family of small files with known errors, evaluated in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of, write_json
from diminuendo.evaluation import accuracy, family, machine
from diminuendo.evaluation.accuracy import code_digest, is_current
from diminuendo.evaluation.family import evaluate_family
from diminuendo.evaluation.inspection import inspect_model
from diminuendo.evaluation.process import run_module
from tests.factories.evaluation import TEXTS, small_family, spoken_corpus
from tests.factories.onnx_models import write_model

CONFIG = EvaluateConfig(
    bootstrap_samples=100,
    confidence=0.95,
    group_by=("speaker", "accent", "age"),
    timing_utterances=3,
    timing_repeats=2,
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    root = tmp_path_factory.mktemp("family")
    corpus, models, out = spoken_corpus(root / "corpus"), small_family(root / "models"), root / "evaluation"
    (models["student"] / "summary.json").write_text('{"parameters_share": {"8_bit": 1.0}}')
    out.mkdir()
    evaluate_family(models, corpus, CONFIG, seed=1, out=out, say=lambda line: None)
    return corpus, models, out


def test_rates_are_those_of_the_confusions(evaluated):
    _, models, out = evaluated
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["utterances"] == len(TEXTS)
    teacher, student = metrics["members"]["teacher"], metrics["members"]["student"]
    assert teacher["wer"] == teacher["cer"] == teacher["delta_wer"] == 0
    assert teacher["wer_interval"] == {"low": 0.0, "high": 0.0}
    words = [word for text in TEXTS for word in text.split()]
    wrong = [word for word in words if set(word) & set("ao")]
    assert (student["substitutions"], student["deletions"], student["insertions"]) == (len(wrong), 0, 0)
    assert student["wer"] == student["delta_wer"] == len(wrong) / len(words)
    assert student["character_errors"] == sum(text.count("a") + text.count("o") for text in TEXTS)
    assert student["delta_wer_interval"]["low"] <= student["delta_wer"] <= student["delta_wer_interval"]["high"]
    assert metrics["members"]["student-int8"]["wer"] == 0  # no utterance has a q or a z
    assert student["digest"] == sha256_of(models["student"] / "model.onnx")
    assert student["bytes"] == (models["student"] / "model.onnx").stat().st_size
    assert student["technique"] == {"parameters_share": {"8_bit": 1.0}}
    assert 0.4 < student["blank_rate"] < 0.8


def test_groups_have_their_own_rates(evaluated):
    _, _, out = evaluated
    groups = json.loads((out / "metrics.json").read_text())["members"]["student"]["groups"]
    assert groups["age"] == {}
    assert set(groups["accent"]) == {"coast", "hills"}
    words = [word for text in TEXTS[::2] for word in text.split()]
    assert groups["accent"]["coast"]["utterances"] == 4
    assert groups["accent"]["coast"]["words"] == len(words)
    assert groups["accent"]["coast"]["wer"] == sum(bool(set(w) & set("ao")) for w in words) / len(words)


def test_every_utterance_is_kept_with_its_counts(evaluated):
    _, _, out = evaluated
    lines = [json.loads(line) for line in (out / "student" / "hypotheses.jsonl").read_text().splitlines()]
    assert [line["reference"] for line in lines] == list(TEXTS)
    assert lines[2]["hypothesis"] == "coll onno" and lines[2]["substitutions"] == 2


def test_speed_and_memory_of_every_member(evaluated):
    _, models, out = evaluated
    timing = json.loads((out / "timing.json").read_text())
    assert set(timing["members"]) == set(models)
    for found in timing["members"].values():
        assert found["peak_bytes"] > 0
        for threads in map(str, timing["threads"]):
            speed = found[threads]
            assert 0 < speed["latency_p50"] <= speed["latency_p95"]
            assert speed["real_time_factor"] > 0
            assert speed["times_faster_interval"]["low"] <= speed["times_faster_interval"]["high"]
    one = timing["members"]["teacher"][str(min(timing["threads"]))]
    assert one["times_faster"] == 1.0 and one["times_faster_interval"] == {"low": 1.0, "high": 1.0}


def test_unchanged_members_are_taken_over_and_the_rest_is_decoded(evaluated, tmp_path):
    corpus, models, earlier = evaluated
    digest = sha256_of(models["student"] / "model.onnx")
    assert is_current(earlier / "student", digest, corpus.digest, code_digest())
    assert not is_current(earlier / "student", "0" * 64, corpus.digest, code_digest())
    assert not is_current(earlier / "student", digest, "0" * 64, code_digest())
    assert not is_current(earlier / "student", digest, corpus.digest, "0" * 64)
    assert not is_current(earlier / "nobody", digest, corpus.digest, code_digest())
    changed = dict(models, student=tmp_path / "student")
    write_model(tmp_path / "student" / "model.onnx", "student", ("e", "i"))
    out, said = tmp_path / "evaluation", []
    out.mkdir()
    metrics = evaluate_family(changed, corpus, CONFIG, seed=1, out=out, earlier=earlier, say=said.append)
    assert [line.partition(":")[0] for line in said if "hypotheses are taken over" in line] == [
        m for m in models if m != "student"
    ]
    assert metrics["members"]["student"]["wer"] != 0
    before = json.loads((earlier / "metrics.json").read_text())["members"]
    for name in ("teacher", "student-int8", "student-slim"):
        assert metrics["members"][name] == before[name]  # to the last digit


@pytest.mark.parametrize("key", ["processor", "onnxruntime"])
def test_hypotheses_of_another_machine_are_not_taken_over(evaluated, monkeypatch, key):
    corpus, models, earlier = evaluated
    digest, here = sha256_of(models["student"] / "model.onnx"), machine.machine_of((1,))
    monkeypatch.setattr(accuracy, "machine_of", lambda threads: {**here, key: "another"})
    assert not is_current(earlier / "student", digest, corpus.digest, code_digest())


def killed_at(last):
    """``write_json``, until it is to write this file."""

    def write(path, content):
        if path == last:
            raise KeyboardInterrupt
        write_json(path, content)

    return write


def test_what_was_decoded_and_timed_survives_a_kill(evaluated, tmp_path, monkeypatch):
    corpus, models, _ = evaluated
    work, said = tmp_path / "work", []

    def killed(*_):
        raise KeyboardInterrupt

    def evaluate(name):
        (tmp_path / name).mkdir()
        evaluate_family(models, corpus, CONFIG, seed=1, out=tmp_path / name, say=said.append, work=work)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(family, "measure_speed", killed)
        evaluate("decoded")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(family, "write_json", killed_at(tmp_path / "timed" / "timing.json"))
        evaluate("timed")
    assert sum("utterances decoded" in line for line in said) == len(models)
    monkeypatch.setattr("diminuendo.evaluation.speed._measure", lambda *_: pytest.fail("timed again"))
    monkeypatch.setattr(family, "run_module", lambda *_: pytest.fail("decoded again"))
    evaluate("whole")
    out = tmp_path / "whole"
    assert {path.name for path in out.iterdir()} == {*models, "metrics.json", "timing.json"}
    assert all(
        is_current(out / name, sha256_of(models[name] / "model.onnx"), corpus.digest, code_digest()) for name in models
    )


def test_damaged_hypotheses_are_not_taken_over(evaluated, tmp_path):
    corpus, models, earlier = evaluated
    folder = tmp_path / "student"
    folder.mkdir()
    for name in ("accuracy.json", "hypotheses.jsonl"):
        (folder / name).write_bytes((earlier / "student" / name).read_bytes())
    digest = sha256_of(models["student"] / "model.onnx")
    assert is_current(folder, digest, corpus.digest, code_digest())
    with open(folder / "hypotheses.jsonl", "a") as file:
        file.write("{}\n")
    assert not is_current(folder, digest, corpus.digest, code_digest())


def test_a_model_for_another_rate_is_refused_by_name(evaluated, tmp_path):
    corpus, models, _ = evaluated
    write_model(tmp_path / "wide" / "model.onnx", metadata={"sample_rate": "16000"})
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"wide/model.onnx: a model for 16000 Hz, expected 8000 Hz"):
        evaluate_family(dict(models, wide=tmp_path / "wide"), corpus, CONFIG, 1, tmp_path / "out", say=str)


def test_what_a_measuring_process_says_is_reported(evaluated):
    corpus, _, _ = evaluated
    with pytest.raises(UserError, match=r"^nowhere.onnx: there is no such model file"):
        run_module("diminuendo.evaluation.memory", ["nowhere.onnx", str(corpus.folder), "out.json"])
    with pytest.raises(RuntimeError, match="ended with status 1"):
        run_module("diminuendo.evaluation.memory", ["too few arguments"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the signal at a parent's death is Linux's")
def test_a_measuring_process_dies_with_its_parent(tmp_path):
    child = [
        "import time",
        "from diminuendo.evaluation.process import follow_parent",
        "follow_parent()",
        "print('up', flush=True)",
        "time.sleep(60)",
    ]
    (tmp_path / "sleeper.py").write_text("\n".join(child))
    code = "from diminuendo.evaluation.process import run_module; run_module('sleeper', [])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout.readline() == b"up\n"
    parent.kill()
    assert parent.stdout.read() == b""  # ends only when the last process that holds the pipe is gone
    parent.wait()


def test_zeros_are_counted_in_weights_only(tmp_path):
    for dtype in (np.float32, np.float16, np.int8):
        path = write_model(tmp_path / f"{np.dtype(dtype)}.onnx", width=40, sparsity=0.75, dtype=dtype)
        facts = inspect_model(path)
        zeros = (np.random.default_rng(0).normal(size=(40, 40)).astype(dtype).reshape(-1)[1200:] == 0).sum()
        assert facts.sparsity == pytest.approx((1200 + zeros) / (1600 + 40))
        assert facts.parameters == 28 + 1600
        assert facts.bytes == path.stat().st_size
