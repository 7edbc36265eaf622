"""Language models of transcripts: the probabilities, and texts that give none."""

from __future__ import annotations

import math
import subprocess

import pytest
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.decoding import train, train_language_model
from tests.factories.audio import dummy_prepared

pytest.importorskip("kaldingram")

TEXTS = ["turn on the light", "turn off the light", "turn on the radio", "the light", "à propos à é", "à propos"] * 2


def read_arpa(path) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    """Log10-probabilities and back-off weights by n-gram."""
    scores, weights = {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if "\t" in line:
            score, words, *weight = line.split("\t")
            scores[tuple(words.split(" "))] = float(score)
            weights[tuple(words.split(" "))] = float(weight[0]) if weight else 0.0
    return scores, weights


def probability(word: str, history: tuple[str, ...], scores, weights) -> float:
    if (*history, word) in scores:
        return 10 ** scores[(*history, word)]
    return 10 ** weights.get(history, 0.0) * probability(word, history[1:], scores, weights) if history else 0.0


@pytest.mark.parametrize("order", [2, 3, 4])
def test_what_may_follow_any_history_sums_to_one(tmp_path, order):
    train_language_model([*TEXTS, "on", "the radio"], order, tmp_path / "lm.arpa")
    scores, weights = read_arpa(tmp_path / "lm.arpa")
    assert max(map(len, scores)) == order
    words = {gram[0] for gram in scores if len(gram) == 1} - {"<s>"}
    assert {"à", "é", "light"} <= words
    histories = {gram[:-1] for gram in scores} | {("radio", "light")[: order - 1], ("é",)[: order - 1]}
    for history in histories:
        assert sum(probability(word, history, scores, weights) for word in words) == pytest.approx(1, abs=1e-4)


def test_absolute_discounting_by_hand(tmp_path):
    train_language_model(["a b", "a b", "a c"], 2, tmp_path / "lm.arpa")
    scores, weights = read_arpa(tmp_path / "lm.arpa")
    # Of the bigrams, two occur once (a c, c </s>) and two twice (a b, b </s>): D = 2 / (2 + 2 × 2) = 1/3.
    assert scores["a", "b"] == pytest.approx(math.log10((2 - 1 / 3) / 3), abs=1e-5)
    assert scores["<s>", "a"] == pytest.approx(math.log10((3 - 1 / 3) / 3), abs=1e-5)
    # Continuation counts: a and c after one word each, b after one, </s> after two: 1 of 5.
    assert scores["b",] == pytest.approx(math.log10(1 / 5), abs=1e-5)
    left = 1 - (2 - 1 / 3) / 3 - (1 - 1 / 3) / 3
    assert weights["a",] == pytest.approx(math.log10(left / (1 - 2 / 5)), abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [([], "not one word"), ([" "], "not one word"), (["a b"], "too little"), (["a <s> b"], "only words")],
)
def test_texts_that_give_no_model(tmp_path, texts, problem):
    with pytest.raises(UserError, match=problem):
        train_language_model(texts, 3, tmp_path / "lm.arpa")
    assert not (tmp_path / "lm.arpa").exists()


def test_a_folder_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(train.subprocess, "run", None)
    with pytest.raises(UserError, match="a folder, expected the name of a file"):
        train_language_model(TEXTS, 2, tmp_path)


def test_a_training_that_dies_without_a_word_is_one_error(tmp_path, monkeypatch):
    died = subprocess.CompletedProcess([], -9, stdout="", stderr="\n")
    monkeypatch.setattr(train.subprocess, "run", lambda *_, **__: died)
    with pytest.raises(UserError, match="exit status -9"):
        train_language_model(TEXTS, 2, tmp_path / "lm.arpa")


def test_the_command_reads_train_only(tmp_path):
    corpus = dummy_prepared(tmp_path / "prepared", utterances=60)
    shown = CliRunner().invoke(
        main, ["language-model", str(tmp_path / "lm.arpa"), "--corpus", str(corpus), "--order", "2"]
    )
    assert shown.exit_code == 0, shown.stderr
    prepared = PreparedCorpus.open(corpus)
    assert prepared.dev and prepared.test
    assert f"2-grams of {len(prepared.train)} transcripts of" in shown.stdout
    train_language_model([utterance.text for utterance in prepared.train], 2, tmp_path / "train.arpa")
    assert (tmp_path / "lm.arpa").read_bytes() == (tmp_path / "train.arpa").read_bytes()
