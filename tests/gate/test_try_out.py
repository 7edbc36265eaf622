"""What the gate decodes itself, in real processes: clips with noise, noise alone, silence, and test's own silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from diminuendo.config.evaluation import NoiseConfig
from diminuendo.evaluation import noisy
from diminuendo.evaluation.accuracy import measure_accuracy
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import read_scores
from diminuendo.evaluation.scoring import Resampled
from diminuendo.gate.hidden import hidden_rules, try_out
from diminuendo.gate.inputs import open_model
from diminuendo.metrics.unit import WORDS
from tests.factories.evaluation import TEXTS, spoken_corpus
from tests.factories.shipping import params, write_member

NOISE = NoiseConfig(snr_db=(10,), utterances=3)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A model, a corpus in which the first utterance says nothing, its scores, and the folder of a first try."""
    root = tmp_path_factory.mktemp("try-out")
    model = open_model(write_member(root, "student"))
    corpus = spoken_corpus(root / "corpus", ("", *TEXTS))
    (root / "clean").mkdir()
    measure_accuracy(model.path, corpus, root / "clean")
    scores = read_scores(root / "clean", None)
    said: list[str] = []
    trials = try_out(model, corpus, scores, NOISE, 1, None, None, root / "work", said.append)
    (folder,) = (root / "work").iterdir()
    assert len(said) == 1 and "with noise, noise and silence with student" in said[0]
    return model, corpus, scores, trials, folder


@pytest.fixture
def started(monkeypatch):
    """The modules of the measuring processes that are started."""
    modules: list[str] = []
    run = noisy.run_module
    monkeypatch.setattr(noisy, "run_module", lambda module, given: (modules.append(module), run(module, given)))
    return modules


def test_the_teacher_is_tried_as_well_where_loops_are_limited(tried, started, tmp_path):
    model, corpus, scores, trials, folder = tried
    teacher = open_model(write_member(tmp_path, "teacher"))
    work = folder.parent
    found = try_out(model, corpus, scores, NOISE, 1, None, None, work, str, teacher=(teacher, scores))
    assert started == ["diminuendo.evaluation.noisy"]  # of the teacher alone: the candidate's lines are there
    assert set(found.loops) == {"snr_10", "noise", "silence"} and trials.loops == {}
    for own, theirs in found.loops.values():
        assert own["loops"].tolist() == theirs["loops"].tolist() == [0, 0, 0]
    assert set(found.teachers_silent) == {"test", "noise", "silence"}
    assert WORDS.errors(found.loops["snr_10"][0]).tolist() == WORDS.errors(trials.noise["snr_10"]).tolist()


def again(tried, work: Path, config: NoiseConfig | None = NOISE, evaluation: Path | None = None):
    model, corpus, scores, _, _ = tried
    return try_out(model, corpus, scores, config, 1, None, evaluation, work, str)


def test_figures_are_those_of_the_lines_that_the_process_wrote(tried):
    _, corpus, scores, trials, folder = tried
    lines = noisy.read_lines(folder)
    in_noise = [line for line in lines if line["condition"] == "snr_10"]
    errors = [sum(line[kind] for kind in ("substitutions", "deletions", "insertions")) for line in in_noise]
    assert len(in_noise) == len(trials.at) == 3 and 0 not in trials.at  # the one without words has nothing to miss
    assert WORDS.errors(trials.noise["snr_10"]).tolist() == errors
    assert set(trials.silent) == {"test", "noise", "silence"}
    counts, seconds = trials.silent["test"]
    assert counts["words"].tolist() == [0] and seconds.tolist() == [corpus.test[0].duration]
    measuring = Measuring(20, 0.9, 1, Resampled("utterances", 0))
    policy = params(noise_wer={10: 0.99}, hallucinated_words_per_minute=1e5).gate
    rules = {r.name: r for r in hidden_rules(policy, "test", scores.counts, scores.counts, trials, WORDS, measuring)}
    words = sum(line["words"] for line in in_noise)
    assert rules["wer_snr_10"].figure == pytest.approx(sum(errors) / words)
    heard = sum(line["insertions"] for line in lines if line["condition"] in ("noise", "silence"))
    minutes = sum(line["seconds"] for line in lines if line["condition"] in ("noise", "silence")) / 60
    expected = heard / (minutes + corpus.test[0].duration / 60)
    assert rules["hallucinated_words_per_minute"].figure == pytest.approx(expected)


def test_what_was_decoded_is_not_decoded_again(tried, started, tmp_path):
    folder = tried[-1]
    again(tried, folder.parent)
    shutil.copytree(folder, tmp_path / "evaluation" / "student")  # as the pipeline leaves it
    again(tried, tmp_path / "work", evaluation=tmp_path / "evaluation")
    assert started == [] and not (tmp_path / "work").exists()


def test_lines_that_were_changed_and_other_noise_are_decoded(tried, started, tmp_path):
    shutil.copytree(tried[-1], tmp_path / tried[-1].name)
    lines = tmp_path / tried[-1].name / noisy.LINES
    whole = lines.read_text()
    lines.write_text(whole.replace('"insertions": 0', '"insertions": 9', 1))
    again(tried, tmp_path)
    assert started == ["diminuendo.evaluation.noisy"] and lines.read_text() == whole
    found = again(tried, tmp_path, NoiseConfig(snr_db=(10,), utterances=2))
    assert len(started) == 2 and len(found.at) == 2


def test_without_noise_only_the_silence_of_test_counts(tried, started, tmp_path):
    found = again(tried, tmp_path, None)
    assert started == [] and found.noise == {} and set(found.silent) == {"test"}
