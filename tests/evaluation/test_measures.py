"""Families that are scored after a normaliser, and in a script without spaces; nothing is decoded twice for it."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import family
from diminuendo.evaluation.family import evaluate_family
from diminuendo.evaluation.scores import NORMALISED
from diminuendo.metrics.normalizers import normalizer_of
from tests.factories.evaluation import HANZI, script_metadata, spoken_corpus
from tests.factories.onnx_models import write_model

CONFIG = EvaluateConfig(
    bootstrap_samples=50, confidence=0.95, group_by=("corpus",), timing_utterances=2, timing_repeats=2
)
ENGLISH = CONFIG.model_copy(update={"normalizer": "english"})
READ = ("a grey sky", "um", "stop now", "no")  # student takes e for a and a for e: "e gray sky"
CORPUS = ("librispeech", "librispeech", "speechocean", "speechocean")


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    """A family evaluated without a normaliser."""
    root = tmp_path_factory.mktemp("english")
    corpus = spoken_corpus(root / "corpus", READ, corpus=CORPUS)
    models = {"teacher": root / "models" / "teacher", "student": root / "models" / "student"}
    write_model(models["teacher"] / "model.onnx")
    write_model(models["student"] / "model.onnx", "student", ("e", "a"))
    (root / "raw").mkdir()
    evaluate_family(models, corpus, CONFIG, seed=1, out=root / "raw", say=str)
    return corpus, models, root / "raw"


@pytest.fixture
def again(english, tmp_path, monkeypatch):
    """Evaluate the family after another evaluation of it, with nothing decoded or timed; returns metrics and words."""
    corpus, models, raw = english

    def no_process(*_):
        pytest.fail("a process was started")

    monkeypatch.setattr(family, "run_module", no_process)
    monkeypatch.setattr("diminuendo.evaluation.speed._measure", no_process)

    def evaluate(config, earlier=raw, name="again"):
        out, said = tmp_path / name, []
        out.mkdir()
        metrics = evaluate_family(models, corpus, config, seed=1, out=out, earlier=earlier, say=said.append)
        assert metrics == json.loads((out / "metrics.json").read_text())
        return metrics, said, out

    return evaluate


def test_another_normaliser_scores_anew_and_decodes_nothing(english, again):
    before = json.loads((english[2] / "metrics.json").read_text())
    metrics, said, out = again(ENGLISH)
    student, raw = metrics["members"]["student"], before["members"]["student"]
    assert raw["wer"] == 2 / 7 and student["raw_wer"] == 2 / 7
    assert student["wer"] == 1 / 6  # grey is gray, and um is nothing
    assert (student["words"], student["raw_words"]) == (6, 7)
    assert (student["substitutions"], student["raw_substitutions"]) == (1, 2)
    for name in ("wer", "wer_interval", "delta_wer", "delta_wer_interval", "cer", "cer_interval", "characters"):
        assert student[f"raw_{name}"] == raw[name]
    assert metrics["normalizer"] == normalizer_of("english").record and metrics["emptied"] == ["test-1"]
    assert any(line.startswith("note: 1 reference has no words after the normaliser english (test-1)") for line in said)
    assert (out / "student" / NORMALISED).is_file()


def test_back_without_one_nothing_of_it_is_left(english, again):
    _, _, normalised = again(ENGLISH)
    metrics, said, out = again(CONFIG, earlier=normalised, name="back")
    assert metrics == json.loads((english[2] / "metrics.json").read_text())
    assert not list(out.rglob(NORMALISED)) and not any(line.startswith("note") for line in said)
    assert metrics["normalizer"] == {"name": "none"} and "raw_wer" not in metrics["members"]["student"]


def test_each_corpus_has_its_rates_with_intervals_and_differences(again):
    metrics, _, _ = again(ENGLISH)
    read, other = (metrics["members"]["student"]["groups"]["corpus"][name] for name in ("librispeech", "speechocean"))
    assert (read["utterances"], read["words"], read["wer"], read["raw_wer"]) == (2, 3, 1 / 3, 2 / 4)
    assert read["delta_wer"] == 1 / 3 and other["delta_wer"] == other["wer"] == 0
    assert read["delta_wer_interval"]["low"] <= 1 / 3 <= read["delta_wer_interval"]["high"]
    assert set(read["cer_interval"]) == set(read["raw_wer_interval"]) == {"low", "high"}


def test_a_package_that_is_missing_stops_before_anything_is_decoded(english, again, monkeypatch):
    monkeypatch.setitem(sys.modules, "whisper_normalizer.english", None)
    with pytest.raises(UserError, match="needs the package whisper_normalizer"):
        again(ENGLISH, earlier=None)


@pytest.mark.parametrize(("asked", "measure"), [("auto", "cer"), ("wer", "wer"), ("cer", "cer")])
def test_the_script_decides_the_measure(tmp_path, asked, measure):
    corpus = spoken_corpus(tmp_path / "corpus", ("dakai", "guanbi"), HANZI)
    folder = tmp_path / "teacher"
    write_model(folder / "model.onnx", confuse=("k", "b"), metadata=script_metadata(HANZI))
    config = CONFIG.model_copy(update={"measure": asked})
    models, digests = {"teacher": folder}, {"teacher": "0" * 64}
    family.measure_hypotheses(models, digests, corpus, tmp_path / "out", None, str)
    metrics = family.accuracy_metrics(models, digests, corpus, config, 1, tmp_path / "out")
    teacher = metrics["members"]["teacher"]
    assert metrics["measure"] == measure
    assert teacher["wer"] == 1 and teacher["cer"] == 2 / 11  # one character in each of two sentences
    assert teacher["delta_cer_interval"] == teacher["delta_wer_interval"] == {"low": 0, "high": 0}  # paired with itself


def test_characters_that_were_replaced_are_counted_with_the_rates(english, tmp_path):
    corpus, models, raw = english
    copy = shutil.copytree(corpus.folder, tmp_path / "corpus")
    (copy / "unknown.json").write_text(json.dumps({"dev": {"é": 1}, "test": {"z": 1, "é": 2, "y": 2}}))
    summary = corpus.summary | {"parameters": {"text": {"unknown": "replace"}}}
    digests = dict.fromkeys(models, "0" * 64)
    found = family.accuracy_metrics(models, digests, PreparedCorpus(copy, summary), CONFIG, 1, raw)
    assert found.pop("unknown") == {"how": "replace", "characters": 5, "different": ["y", "é", "z"]}
    assert found == family.accuracy_metrics(models, digests, corpus, CONFIG, 1, raw)
