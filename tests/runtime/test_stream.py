"""Audio that arrives in pieces: the words of the whole recording, each of them once and as soon as it is final."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.runtime import Recognizer
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model

LONG = " ".join(["turn the lights off", "call anna", "aardvarks need llamas"] * 4)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    model = write_model(tmp_path_factory.mktemp("model") / "model.onnx")
    return Recognizer(model, threads=1, window_seconds=2.4, context_seconds=0.4)


@settings(max_examples=40)
@given(st.sampled_from([LONG, "hello world", "", "a"]), st.lists(st.floats(0, 1), max_size=12))
def test_any_cutting_gives_the_words_of_the_whole(recognizer, said, cuts):
    waveform = speak(said)
    stream = recognizer.stream()
    words = []
    for piece in np.split(waveform, sorted(int(cut * len(waveform)) for cut in cuts)):
        words += stream.push(piece)
    words += stream.finish()
    whole = recognizer.transcribe(waveform)
    assert tuple(words) == whole.words
    assert stream.seconds == pytest.approx(whole.seconds, abs=1e-4)


def test_words_come_within_a_window_and_memory_does_not_grow(recognizer):
    stream, waveform = recognizer.stream(), speak(LONG * 5)
    said, held = [], []
    for at in range(0, len(waveform), 400):
        for word in stream.push(waveform[at : at + 400]):
            said.append((word, (at + 400) / SAMPLE_RATE))
        held.append(sum(map(len, stream._reader._cutter._pieces)))
    assert len(said) > 0.9 * len((LONG * 5).split())
    assert max(now - word.end for word, now in said) < 2.4 + 1.0  # s: a window, and the word after it
    assert max(held) <= 2.4 * SAMPLE_RATE + 400


def test_the_buffer_of_the_caller_may_be_used_again(recognizer):
    waveform, stream, buffer = speak("hello world"), recognizer.stream(), np.zeros(100, dtype=np.float32)
    words = []
    for at in range(0, len(waveform) - 99, 100):
        buffer[:] = waveform[at : at + 100]
        words += stream.push(buffer)
    assert [word.text for word in words + stream.finish()] == ["hello", "world"]


def test_another_sample_rate(recognizer):
    stream, doubled = recognizer.stream(sample_rate=2 * SAMPLE_RATE), np.repeat(speak("hello world"), 2)
    words = [word for at in range(0, len(doubled), 999) for word in stream.push(doubled[at : at + 999])]
    assert [word.text for word in words + stream.finish()] == ["hello", "world"]


@pytest.mark.parametrize("wrong", [-5, 0, 0.5, np.nan, np.inf])
def test_what_is_no_sample_rate(recognizer, wrong):
    with pytest.raises(UserError, match=r"sample_rate: .*, expected 1 Hz or more"):
        recognizer.stream(sample_rate=wrong)


def test_what_is_no_audio_and_what_comes_too_late(recognizer):
    stream = recognizer.stream()
    for wrong in (np.zeros((2, 5)), np.array([0.0, np.nan]), np.zeros(5, dtype=np.int16), [0.0]):
        with pytest.raises(UserError, match="one channel"):
            stream.push(wrong)
    assert stream.finish() == [] and stream.finish() == []
    with pytest.raises(UserError, match="finished"):
        stream.push(np.zeros(5))
