"""The microphone of the page: words as they are spoken, final ones for good, and the same as of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from diminuendo.bundled import MODEL
from diminuendo.core.errors import UserError
from diminuendo.demo import hearing
from diminuendo.demo.hearing import LONGEST_SECONDS, PEAKS, Models, peaks_of
from diminuendo.demo.samples import SAMPLES
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model

PIECE = 1600  # samples


def listen(models: Models, waveform: np.ndarray, rate: int = SAMPLE_RATE) -> tuple[list[list[dict]], list[dict]]:
    """What of the first model was final so far and provisional at every answer, and its last answer."""
    microphone, final, shown = models.listen(rate), [], []
    for at in range(0, len(waveform), PIECE):
        heard = microphone.push(waveform[at : at + PIECE])["models"][0]
        final += heard["words"]
        shown.append([*final, *heard["provisional"]])
    last = microphone.finish()["models"][0]
    assert not last["provisional"]
    return shown, final + last["words"]


def texts(words: list[dict]) -> str:
    return " ".join(word["text"] for word in words)


@pytest.fixture
def models(tmp_path) -> Models:
    return Models([write_model(tmp_path / "model.onnx")])


@pytest.fixture
def digits() -> np.ndarray:
    return soundfile.read(SAMPLES[0].path, dtype="float32")[0]


def test_words_are_shown_while_they_are_spoken_and_none_is_lost(digits):
    models = Models([MODEL])
    shown, final = listen(models, digits)
    assert texts(final) == SAMPLES[0].said
    middle = shown[len(shown) // 2]
    assert SAMPLES[0].said.startswith(texts(middle)) and len(middle) >= 2


def test_a_pause_makes_words_final_and_later_times_go_on(digits):
    pause = np.zeros(3 * SAMPLE_RATE, dtype=np.float32)
    microphone = Models([MODEL]).listen(SAMPLE_RATE)
    before = []
    for at in range(0, len(digits) + len(pause), PIECE):
        before += microphone.push(np.concatenate([digits, pause])[at : at + PIECE])["models"][0]["words"]
    assert texts(before) == SAMPLES[0].said
    answer = microphone.push(digits)
    after = answer["models"][0]["provisional"] + microphone.finish()["models"][0]["words"]
    assert texts(after).endswith("one five nine")
    seconds = (2 * len(digits) + len(pause)) / SAMPLE_RATE
    assert answer["seconds"] == pytest.approx(seconds)
    assert all(len(digits) / SAMPLE_RATE < word["start"] < seconds for word in after)


def test_long_speech_without_a_pause_is_the_same_as_in_one_piece(models):
    said = " ".join(["turn the lights off", "call anna", "aardvarks need llamas"] * 6)
    waveform = speak(said)
    assert len(waveform) > 2 * hearing.WINDOW_SECONDS * SAMPLE_RATE
    shown, final = listen(models, waveform)
    assert texts(final) == said
    for words in shown:  # never twice the same word: what is provisional begins after what is final
        starts = [word["start"] for word in words]
        assert starts == sorted(set(starts))


def test_a_model_that_is_too_slow_shows_final_words_alone(models, monkeypatch):
    monkeypatch.setattr(hearing, "BUSY", 0.0)
    shown, final = listen(models, speak("hello world"))
    assert texts(final) == "hello world" and not any(shown)


def test_a_microphone_of_another_rate(digits):
    doubled = np.repeat(digits, 2)
    assert texts(listen(Models([MODEL]), doubled, 2 * SAMPLE_RATE)[1]) == SAMPLES[0].said


@pytest.mark.parametrize("rate", [0, 7999, 10**9])
def test_a_rate_that_no_microphone_has(models, rate):
    with pytest.raises(UserError, match=f"a microphone at {rate} Hz"):
        models.listen(rate)


def test_samples_that_are_no_numbers_are_refused(models):
    with pytest.raises(UserError, match="not a finite number"):
        models.listen(SAMPLE_RATE).push(np.array([0.0, np.nan], dtype=np.float32))


def test_a_file_is_heard_by_every_model(tmp_path):
    paths = [write_model(tmp_path / "a.onnx"), write_model(tmp_path / "b.onnx", confuse=("l", "r"))]
    soundfile.write(tmp_path / "hello.wav", speak("hello"), SAMPLE_RATE)
    heard = Models(paths).hear_file(tmp_path / "hello.wav")
    assert [texts(model["words"]) for model in heard["models"]] == ["hello", "herro"]
    assert all(model["work"] > 0 for model in heard["models"])
    assert heard["seconds"] == pytest.approx(len(speak("hello")) / SAMPLE_RATE) and len(heard["peaks"]) == PEAKS
    assert heard["remarks"] == []
    cut = tmp_path / "cut.wav"
    cut.write_bytes((tmp_path / "hello.wav").read_bytes()[:-100])
    assert heard["models"][0]["words"] and "cut short" in Models(paths[:1]).hear_file(cut)["remarks"][0]


def test_a_file_that_is_empty_or_too_long_is_refused(models, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), SAMPLE_RATE)
    with pytest.raises(UserError, match=r"nothing\.wav: it holds no audio"):
        models.hear_file(tmp_path / "nothing.wav")
    assert LONGEST_SECONDS == 600
    monkeypatch.setattr(hearing, "LONGEST_SECONDS", 1.0)
    soundfile.write(tmp_path / "long.wav", np.zeros(2 * SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(UserError, match="longer than"):
        models.hear_file(tmp_path / "long.wav")


def test_peaks():
    assert peaks_of(np.array([0.5, -1.5], dtype=np.float32)) == [0.5, 1.0]
    assert len(peaks_of(np.zeros(100_000, dtype=np.float32))) == PEAKS
    assert peaks_of(np.zeros(0, dtype=np.float32)) == []
