"""Several recordings in one run of the model: what one by one gives, in the order given."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.export.write import export_model
from diminuendo.runtime import Recognizer
from diminuendo.runtime.batch import batches
from tests.factories.models import tiny_model
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model

SAID = ["hello world", "", "turn the lights off", "a", "call anna " * 6, "aardvarks need llamas"]


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    model = write_model(tmp_path_factory.mktemp("model") / "model.onnx")
    return Recognizer(model, threads=1, window_seconds=2.4, context_seconds=0.4)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(SAID), max_size=12), st.floats(0.1, 9.0))
def test_transcripts_are_those_of_one_by_one(recognizer, said, batch_seconds):
    waveforms = [speak(text.strip()) for text in said]
    found = list(recognizer.transcribe_batch(waveforms, batch_seconds))
    assert found == [recognizer.transcribe(waveform) for waveform in waveforms]
    paths = recognizer.greedy_paths(waveforms, batch_seconds)
    for path, waveform in zip(paths, waveforms, strict=True):
        np.testing.assert_array_equal(path, recognizer.greedy_path(waveform))


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(1, 900))
def test_batches_hold_everything_once_and_no_more_than_the_limit(lengths, limit):
    groups = batches(lengths, limit)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or max(lengths[index] for index in group) * len(group) <= limit


def test_padding_changes_no_posterior(tmp_path):
    tokens = ["<blank>", "▁", "a", "b", "c", "d"]
    export_model(tmp_path / "model.onnx", tiny_model(), name="tiny", tokens=tokens, lineage={})
    recognizer = Recognizer(tmp_path / "model.onnx", threads=1)
    rate = recognizer.model.sample_rate
    rng = np.random.default_rng(0)
    waveforms = [(0.1 * rng.standard_normal(round(seconds * rate))).astype(np.float32) for seconds in (0.3, 1.0, 0.61)]
    padded = np.zeros((3, rate), dtype=np.float32)
    for row, waveform in zip(padded, waveforms):
        row[: len(waveform)] = waveform
    log_probs, frames = recognizer.model.log_probs(padded, np.array([len(waveform) for waveform in waveforms]))
    for row, count, waveform in zip(log_probs, frames, waveforms):
        np.testing.assert_allclose(row[:count], recognizer.model.log_probs_of(waveform), atol=2e-4)


def test_runs_are_shared_and_stay_within_the_limit(recognizer, monkeypatch):
    shapes, run = [], recognizer.model.log_probs
    monkeypatch.setattr(recognizer.model, "log_probs", lambda w, n: shapes.append(w.shape) or run(w, n))
    waveforms = [speak("call anna")] * 10
    list(recognizer.transcribe_batch(waveforms, batch_seconds=5 * len(waveforms[0]) / SAMPLE_RATE + 0.01))
    assert shapes == [(5, len(waveforms[0]))] * 2


def test_a_bad_file_is_its_error_in_its_place(recognizer, tmp_path):
    soundfile.write(tmp_path / "one.wav", speak("one"), SAMPLE_RATE)
    broken = speak("a long text that is cut into windows before it fails " * 3)
    broken[-5] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    names = ["missing.wav", "one.wav", "nan.wav", "one.wav"]
    found = list(recognizer.transcribe_batch([tmp_path / name for name in names], batch_seconds=3))
    assert [isinstance(each, UserError) for each in found] == [True, False, True, False]
    assert "no such file" in str(found[0]) and "finite" in str(found[2]) and found[1].text == found[3].text == "one"


def test_results_come_while_recordings_are_still_read(recognizer):
    read = []

    def recordings():
        for index in range(100):
            read.append(index)
            yield speak("hello")

    next(iter(recognizer.transcribe_batch(recordings(), batch_seconds=1)))
    assert len(read) < 50


def test_a_bad_waveform_is_its_error_in_its_place(recognizer):
    broken = np.array([0.5, np.nan], dtype=np.float32)
    found = list(recognizer.transcribe_batch([speak("one"), speak("a")[:, None], broken, [0.5], speak("two")]))
    assert [str(each).split(",")[0] for each in found[1:4]] == [
        f"waveform: an array [{len(speak('a'))}",
        "waveform: sample 1 is not a finite number",
        "waveform: a list",
    ]
    assert all(isinstance(each, UserError) for each in found[1:4])
    assert (found[0].text, found[4].text) == ("one", "two")


@pytest.mark.parametrize("wrong", [0, -1.0, np.nan, np.inf])
def test_no_room_for_a_batch(recognizer, wrong):
    with pytest.raises(UserError, match=r"batch_seconds: .*, expected more than 0 and finite"):
        list(recognizer.transcribe_batch([speak("a")], batch_seconds=wrong))
