"""The search against every path that there is, and what users see of it."""

from __future__ import annotations

import gzip
import itertools
import math
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.decoding import BeamSearch
from diminuendo.runtime import Recognizer
from diminuendo.runtime.ctc import decode_text, decode_words
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model

for needed in ("kaldifst", "kaldi_decoder", "kaldilm", "kaldingram"):
    pytest.importorskip(needed)

WIDE = 200.0
CHARACTERS = ["<blank>", "▁", "a", "b"]
PIECES = ["<blank>", "▁a", "b", "▁", "a", "b▁a"]
ARPA = """\\data\\
ngram 1={unigrams}
ngram 2=3

\\1-grams:
-99\t<s>\t-0.3
-0.5\t</s>
-0.8\ta\t-0.2
-0.9\tab\t-0.1
-1.0\tba
{unknown}
\\2-grams:
-0.4\t<s> ab
-0.3\tab a
-0.6\ta </s>

\\end\\
"""
UNIGRAMS = {"</s>": -0.5, "a": -0.8, "ab": -0.9, "ba": -1.0}
BIGRAMS = {("<s>", "ab"): -0.4, ("ab", "a"): -0.3, ("a", "</s>"): -0.6}
BACK_OFF = {"<s>": -0.3, "a": -0.2, "ab": -0.1}


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "closed.arpa"
    path.write_text(ARPA.format(unigrams=5, unknown=""))
    return path


@pytest.fixture(scope="module")
def open_arpa(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "open.arpa"
    path.write_text(ARPA.format(unigrams=6, unknown="-2.0\t<unk>\n"))
    return path


def log10(words: list[str], unknown: float | None) -> float:
    """Log10-probability of a sentence; of an n-gram or the way round by the back-off, whichever is likelier."""
    total, before = 0.0, "<s>"
    for word in [*words, "</s>"]:
        known = UNIGRAMS.get(word, -math.inf)
        if unknown is not None and word != "</s>":
            known = max(known, unknown + len(word) * math.log10(1 / 2))  # two letters to choose from
        total += max(BIGRAMS.get((before, word), -math.inf), BACK_OFF.get(before, 0.0) + known)
        before = word
    return total


def score(path, log_probs, tokens, weight, word_score, unknown) -> float:
    words = decode_text(np.array(path), tokens).split()
    if any(word not in UNIGRAMS for word in words) and unknown is None:
        return -math.inf
    frames = sum(log_probs[frame, token] for frame, token in enumerate(path))
    return frames + weight * math.log(10) * log10(words, unknown) + word_score * len(words)


def random_posteriors(seed: int, frames: int, size: int, spread: float = 3.0) -> np.ndarray:
    logits = spread * np.random.default_rng(seed).standard_normal((frames, size)).astype(np.float32)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("tokens", [CHARACTERS, PIECES], ids=["characters", "units"])
@pytest.mark.parametrize(("weight", "word_score"), [(0.0, 0.0), (1.0, 0.0), (0.7, 1.5), (2.0, -1.0)])
def test_no_path_is_better_than_the_one_found(arpa, tokens, weight, word_score):
    decode = BeamSearch(arpa, weight, word_score, WIDE).open(tokens)
    for seed in range(8 if tokens is CHARACTERS else 4):
        log_probs = random_posteriors(seed, 5, len(tokens))
        path, _ = decode(log_probs)
        found = score(path.tolist(), log_probs, tokens, weight, word_score, None)
        every = itertools.product(range(len(tokens)), repeat=len(log_probs))
        best = max(score(each, log_probs, tokens, weight, word_score, None) for each in every)
        assert found == pytest.approx(best, abs=2e-2)  # determinization rounds costs to 1/1024


def test_a_token_may_hold_the_end_of_a_word_after_which_the_language_model_backs_off(arpa):
    spoken = np.array([PIECES.index("▁a"), PIECES.index("b▁a"), PIECES.index("b")])
    log_probs = np.full((3, len(PIECES)), -30.0, dtype=np.float32)
    log_probs[np.arange(3), spoken] = 0.0
    path, _ = BeamSearch(arpa, beam=WIDE).open(PIECES)(log_probs)
    assert decode_text(path, PIECES) == "ab ab" and ("ab", "ab") not in BIGRAMS
    np.testing.assert_array_equal(path, spoken)


def test_unknown_words_cost_what_the_language_model_says(open_arpa):
    decode = BeamSearch(open_arpa, 1.0, 0.0, WIDE).open(CHARACTERS)
    texts = set()
    for seed in range(8):
        log_probs = random_posteriors(seed, 5, len(CHARACTERS), spread=9.0)
        path, _ = decode(log_probs)
        found = score(path.tolist(), log_probs, CHARACTERS, 1.0, 0.0, -2.0)
        every = itertools.product(range(len(CHARACTERS)), repeat=len(log_probs))
        assert found == pytest.approx(max(score(p, log_probs, CHARACTERS, 1.0, 0.0, -2.0) for p in every), abs=2e-2)
        texts |= set(decode_text(path, CHARACTERS).split())
    assert texts - set(UNIGRAMS), "no unknown word was ever the best"


@pytest.fixture(scope="module")
def closed(arpa):
    """Decodes; opened once for all examples."""
    return BeamSearch(arpa).open(CHARACTERS)


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(0, 40))
def test_one_token_and_its_posterior_for_every_frame_and_only_known_words(closed, seed, frames):
    log_probs = random_posteriors(seed, frames, len(CHARACTERS))
    path, scores = closed(log_probs)
    assert path.dtype == np.int32 and scores.dtype == np.float32 and len(path) == frames
    np.testing.assert_array_equal(scores, log_probs[np.arange(frames), path])
    words = decode_words(path, scores, CHARACTERS, 0.02)
    assert {word.text for word in words} <= {"a", "ab", "ba"}
    assert all(0 <= word.confidence <= 1 for word in words)


def test_posteriors_of_nothing_are_no_crash(arpa):
    path, _ = BeamSearch(arpa).open(CHARACTERS)(np.full((7, 4), -np.inf, dtype=np.float32))
    assert len(path) == 7


def test_a_recognizer_hears_the_word_that_the_language_model_knows(tmp_path):
    model = write_model(tmp_path / "model.onnx", confuse=("l", "m"))
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-99\t<s>\n-0.5\t</s>\n-0.5\thello\n-0.5\tworld\n\n\\end\\\n"
    )
    waveform = speak("hello world")
    soundfile.write(tmp_path / "a.wav", waveform, SAMPLE_RATE)
    greedy = Recognizer(model, 1).transcribe(waveform)
    assert greedy.text == "hemmo wormd"
    search = BeamSearch(tmp_path / "lm.arpa", beam=1000.0)
    found = Recognizer(model, 1, search=search).transcribe(waveform)
    assert found.text == "hello world"
    assert [word.start for word in found.words] == pytest.approx([word.start for word in greedy.words], abs=0.05)
    assert found.words[0].confidence < greedy.words[0].confidence
    given_to = ["transcribe", str(model), str(tmp_path / "a.wav"), "--language-model", str(tmp_path / "lm.arpa")]
    shown = CliRunner().invoke(main, [*given_to, "--beam", "1000", "--lm-weight", "0.3", "--word-score", "0.1"])
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "hello world\n", "")


def test_what_is_no_language_model(tmp_path, arpa):
    (tmp_path / "text.arpa").write_text("once upon a time\n" * 200)
    (tmp_path / "cut.arpa").write_text(arpa.read_text()[:-40])
    (tmp_path / "word.arpa").write_text(arpa.read_text().replace("-0.8", "x"))
    (tmp_path / "latin.arpa").write_bytes(arpa.read_text().replace("ba", "bé").encode("latin-1"))
    (tmp_path / "broken.arpa").write_bytes(arpa.read_text().replace("-1.0\tba", "é\tba").encode("latin-1"))
    (tmp_path / "packed.arpa.gz").write_bytes(gzip.compress(arpa.read_bytes()))
    for name, problem in {
        "latin.arpa": "not UTF-8; convert it",
        "broken.arpa": "cannot be read",
        "packed.arpa.gz": "not an ARPA .*; unpack it first",
        "missing.arpa": "no such language model",
        "text.arpa": "not an ARPA",
        "cut.arpa": "cannot be read",
        "word.arpa": "cannot be read .*'x'",
    }.items():
        with pytest.raises(UserError, match=problem):
            BeamSearch(tmp_path / name).open(CHARACTERS)
    with pytest.raises(UserError, match="can spell none"):
        BeamSearch(arpa).open(["<blank>", "▁", "A", "B"])


WRONG = [
    *({"lm_weight": weight} for weight in (-1.0, math.nan, math.inf, 1e308, 101.0)),
    *({"word_score": score} for score in (math.nan, math.inf, -math.inf, 1e308, -101.0)),
    *({"beam": beam} for beam in (0.0, math.nan, math.inf, 1e308)),
    {"max_active": 0},
]


@pytest.mark.parametrize("space", ["\u00a0", "\u0085", "\u2028"])
def test_words_may_hold_what_python_takes_for_white_space(tmp_path, arpa, space):
    (tmp_path / "lm.arpa").write_text(arpa.read_text().replace("\tba", f"\tb{space}a{space}"), encoding="utf-8")
    path, _ = BeamSearch(tmp_path / "lm.arpa").open(CHARACTERS)(random_posteriors(0, 9, len(CHARACTERS)))
    assert set(decode_text(path, CHARACTERS).split()) <= {"a", "ab"}


@pytest.mark.parametrize("wrong", WRONG)
def test_weights_out_of_range(arpa, wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))}: "):
        BeamSearch(arpa, **wrong)


def test_without_the_extra_one_error_names_it(tmp_path, arpa, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaldi_decoder", None)
    model = write_model(tmp_path / "model.onnx")
    shown = CliRunner().invoke(main, ["transcribe", str(model), "a.wav", "--language-model", str(arpa)])
    assert shown.exit_code == 1 and shown.stderr.count("error:") == 1
    assert "pip install '.[decoding]'" in shown.stderr


def test_weights_without_a_language_model_are_refused(tmp_path):
    shown = CliRunner().invoke(main, ["transcribe", "model.onnx", "a.wav", "--lm-weight", "1"])
    assert shown.exit_code == 1 and "--lm-weight: only with --language-model" in shown.stderr
