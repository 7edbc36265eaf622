"""From files to words: joins of windows, rates, channels, and files that are no recordings."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.runtime import Recognizer
from diminuendo.runtime.audio import read_pipe
from diminuendo.runtime.model import best_path
from diminuendo.runtime.silence import PROBE_STEP, is_silent
from tests.factories.onnx_models import FRAME_SAMPLES, SAMPLE_RATE, speak, write_model

LONG = " ".join(["turn the lights off", "call anna", "aardvarks need llamas"] * 12)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="module")
def recognizer(model):
    return Recognizer(model, threads=1)


def test_transcribes_a_file_with_times(recognizer, tmp_path):
    soundfile.write(tmp_path / "a.wav", speak("hello world"), SAMPLE_RATE)
    transcript = recognizer.transcribe(tmp_path / "a.wav")
    assert transcript.text == "hello world"
    assert transcript.seconds == pytest.approx(len(speak("hello world")) / SAMPLE_RATE)
    first, second = transcript.words
    assert first.start == pytest.approx(0.08) and first.end < second.start < second.end <= transcript.seconds
    assert first.confidence > 0.9
    assert json.loads(json.dumps(transcript.as_dict()))["words"][1]["text"] == "world"


@pytest.mark.parametrize(("window", "context"), [(1.6, 0.2), (3.0, 0.5), (2.02, 0.46), (7.7, 1.9)])
def test_windows_give_what_one_pass_gives(model, recognizer, window, context):
    waveform = speak(LONG)
    whole = Recognizer(model, 1, window_seconds=1000).transcribe(waveform)
    assert whole.text == LONG
    in_windows = Recognizer(model, 1, window_seconds=window, context_seconds=context).transcribe(waveform)
    assert in_windows == whole


def test_blocks_of_a_resampled_stereo_file_are_joined(model, tmp_path):
    doubled = np.repeat(speak(LONG), 2)
    soundfile.write(tmp_path / "a.flac", np.stack([doubled, doubled], axis=1), 2 * SAMPLE_RATE)
    transcript = Recognizer(model, 1, window_seconds=3, context_seconds=0.5).transcribe(tmp_path / "a.flac")
    assert transcript.text == LONG


def test_channels_are_averaged(recognizer, tmp_path):
    speech = speak("stereo")
    soundfile.write(tmp_path / "a.wav", np.stack([speech * 1.2, speech * 0.8], axis=1), SAMPLE_RATE, subtype="FLOAT")
    assert recognizer.transcribe(tmp_path / "a.wav").text == "stereo"


def test_silence_is_no_words(recognizer, tmp_path):
    for amplitude in (0, 2):
        noise = np.random.default_rng(0).integers(-amplitude, amplitude + 1, size=3 * SAMPLE_RATE).astype(np.int16)
        soundfile.write(tmp_path / "silent.wav", noise, SAMPLE_RATE)
        transcript = recognizer.transcribe(tmp_path / "silent.wav")
        assert transcript.text == "" and transcript.words == () and transcript.seconds == 3.0


@pytest.mark.parametrize("value", [1e-3, -1e-3, np.nan])
@pytest.mark.parametrize("place", [0, 1, PROBE_STEP, 700, 999])
def test_one_sample_is_no_silence(place, value):
    samples = np.zeros(1000, dtype=np.float32)
    assert is_silent(samples) and is_silent(samples[:0])
    samples[place] = value
    assert not is_silent(samples)


@pytest.mark.parametrize("said", ["hello world", "", "a", LONG])
@pytest.mark.parametrize("amplitude", [1, 0.02, 1e-6])
def test_the_short_way_of_one_window_finds_the_path_of_the_windowed_one(recognizer, said, amplitude):
    waveform = (speak(said) * amplitude).astype(np.float32)
    path = recognizer.greedy_path(waveform)
    windowed = recognizer._decode([waveform], best_path)[0]
    assert path.dtype.kind == windowed.dtype.kind == "i"
    np.testing.assert_array_equal(path, windowed)


@pytest.mark.parametrize("samples", [1, 10, FRAME_SAMPLES])
def test_almost_nothing_is_no_words(recognizer, tmp_path, samples):
    soundfile.write(tmp_path / "short.wav", np.full(samples, 1e-3), SAMPLE_RATE)
    transcript = recognizer.transcribe(tmp_path / "short.wav")
    assert transcript.text == "" and transcript.seconds == pytest.approx(samples / SAMPLE_RATE, abs=1e-4)


def test_files_that_are_no_recordings(recognizer, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no audio\n" * 100)
    (tmp_path / "cut.flac").write_bytes(b"fLaC" + bytes(50))
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), SAMPLE_RATE)
    broken = speak("hello")
    broken[700] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    for name, problem in {
        "missing.wav": "no such file",
        "empty.wav": "0 bytes",
        "text.wav": "not audio",
        "nothing.wav": "holds no audio",
        "cut.flac": "cut.flac",
        "nan.wav": "not a finite number, at 0.087 s",
        ".": "folder",
    }.items():
        with pytest.raises(UserError, match=problem):
            recognizer.transcribe(tmp_path / name)


def test_a_pipe_that_breaks_off_says_where(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", speak("hello"), SAMPLE_RATE)
    read, damage = soundfile.SoundFile.read, round(0.2 * SAMPLE_RATE)

    def breaks(self, frames=-1, *arguments, **options):
        if self.tell() + frames > damage:
            raise soundfile.LibsndfileError(1)
        return read(self, frames, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", breaks)
    remarks = []
    with open(tmp_path / "a.wav", "rb") as file:
        _, blocks = read_pipe(file.fileno(), tell=remarks.append)
        heard = sum(map(len, blocks))
    (found,) = remarks
    assert 0 < heard <= damage and f"damaged after {heard / SAMPLE_RATE:.2f} s of " in str(found)


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    write_model(tmp_path / "foreign.onnx", metadata={"format": None})
    write_model(tmp_path / "damaged.onnx", metadata={"tokens": "["})
    write_model(tmp_path / "rateless.onnx", metadata={"sample_rate": "0"})
    whole = write_model(tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    for name, problem in {
        "missing.onnx": "no such model file",
        ".": "model.onnx",
        "text.onnx": "cannot load it",
        "cut.onnx": "cannot load it",
        "foreign.onnx": "not a model of diminuendo",
        "damaged.onnx": "metadata is damaged",
        "rateless.onnx": "sample_rate is",
    }.items():
        with pytest.raises(UserError, match=problem):
            Recognizer(tmp_path / name)
    with pytest.raises(UserError, match="too short for its context"):
        Recognizer(tmp_path / "whole.onnx", window_seconds=1, context_seconds=0.5)


@pytest.mark.parametrize("name", ["window_seconds", "context_seconds"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0, -5])
def test_windows_of_no_length_are_refused(model, name, wrong):
    with pytest.raises(UserError, match=f"{name}: .*, expected a finite number of seconds, more than 0"):
        Recognizer(model, **{name: wrong})


def test_the_shortest_window_is_named(model):
    with pytest.raises(UserError, match=r"window_seconds: 0\.14, the shortest window of this model is 0\.16"):
        Recognizer(model, window_seconds=0.14, context_seconds=0.02)
    Recognizer(model, window_seconds=0.16, context_seconds=0.02)


@pytest.mark.parametrize(
    ("waveform", "problem"),
    [
        (np.zeros((100, 1)), r"an array \[100, 1\] of float64, expected one channel"),
        (np.zeros(100, dtype=np.int16), r"an array \[100\] of int16"),
        ([0.0, 0.1], "a list, expected"),
        (np.array([0.0, np.nan]), "sample 1 is not a finite number"),
        (np.array([1e300]), "sample 0 is not a finite number"),
    ],
)
def test_what_is_no_waveform(recognizer, waveform, problem):
    with pytest.raises(UserError, match=problem):
        recognizer.transcribe(waveform)


def test_a_waveform_may_be_of_any_float_type_and_lie_apart_in_memory(recognizer):
    speech = np.repeat(speak("hello world").astype(np.float64), 2)[::2]
    assert recognizer.transcribe(speech).text == "hello world"


def test_too_many_threads_are_refused(model):
    most = 4 * available_cores()
    with pytest.raises(UserError, match=f"threads: {most + 1}, expected at most {most}"):
        Recognizer(model, threads=most + 1)
    Recognizer(model, threads=most)


def test_runtime_needs_only_numpy_onnxruntime_and_soundfile():
    heavy = ("torch", "scipy", "onnx", "pydantic")
    code = f"import sys, diminuendo.runtime; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
