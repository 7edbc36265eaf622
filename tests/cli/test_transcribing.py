"""``diminuendo transcribe``, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from diminuendo.cli.transcribing import _transcribe_standard_input
from diminuendo.demo.samples import SAMPLES
from diminuendo.runtime import Recognizer
from tests.factories.audio import ROOT
from tests.factories.evaluation import HANZI, script_metadata
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model


def test_transcribe_one_file(run, audio):
    assert run("transcribe", "model.onnx", "one.wav") == (0, "hello world\n", "")


def test_transcribe_goes_on_after_a_bad_file_and_says_so(run, audio):
    status, out, err = run("transcribe", "model.onnx", "one.wav", "bad.wav", "missing.wav", "two.flac")
    assert status == 1
    assert out == "one.wav\thello world\ntwo.flac\tgoodbye\n"
    assert err.count("error: ") == 2 and "bad.wav" in err and "missing.wav" in err


def test_transcribe_in_batches_goes_on_after_a_bad_file_too(run, audio):
    files = ["one.wav", "bad.wav", "two.flac", "one.wav"]
    status, out, err = run("transcribe", "--batch-seconds", "9", "model.onnx", *files)
    assert (status, out) == (1, "one.wav\thello world\ntwo.flac\tgoodbye\none.wav\thello world\n")
    assert err.count("error: ") == 1 and "bad.wav" in err


@pytest.mark.parametrize("options", [(), ("--batch-seconds", "9")], ids=["one_by_one", "in_batches"])
def test_silence_gets_its_empty_line_and_a_note_of_its_file(run, audio, options):
    soundfile.write("still.wav", np.zeros(SAMPLE_RATE * 3 // 2), SAMPLE_RATE)
    note = "note: still.wav: no words were heard in 1.5 s of audio\n"
    assert run("transcribe", *options, "model.onnx", "still.wav") == (0, "\n", note)
    found = run("transcribe", *options, "model.onnx", "one.wav", "still.wav", "two.flac")
    assert found == (0, "one.wav\thello world\nstill.wav\t\ntwo.flac\tgoodbye\n", note)
    status, out, err = run("transcribe", *options, "--json", "model.onnx", "still.wav", "one.wav")
    silent, spoken = (json.loads(line) for line in out.splitlines())
    assert (status, err) == (0, note) and spoken["text"] == "hello world"
    assert silent == {"file": "still.wav", "text": "", "seconds": 1.5, "words": []}


def piped(folder, given: bytes, *options: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "diminuendo.cli", "transcribe", "model.onnx", "-", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, env=environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_transcribe_standard_input_word_by_word(audio, tmp_path):
    wav = (tmp_path / "one.wav").read_bytes()
    assert piped(tmp_path, wav) == (0, "hello world\n", "")
    samples = (speak("hello world") * 32767).astype("<i2").tobytes()
    assert piped(tmp_path, samples, "--raw", str(SAMPLE_RATE)) == (0, "hello world\n", "")
    status, out, _ = piped(tmp_path, wav, "--json", "--window", "4")
    assert status == 0 and [json.loads(line)["text"] for line in out.splitlines()] == ["hello", "world"]
    status, out, err = piped(tmp_path, b"no audio")
    assert status == 1 and out == "" and "standard input: not audio" in err


def test_what_is_no_sound_on_standard_input(audio, tmp_path):
    rate = str(SAMPLE_RATE)
    assert piped(tmp_path, b"", "--raw", rate) == (1, "", "error: standard input: no audio came\n")
    status, out, err = piped(tmp_path, b"", "--batch-seconds", "9")
    assert (status, out) == (1, "") and "--batch-seconds: not with -, a stream is heard window by window" in err
    status, out, err = piped(tmp_path, b"", "--raw", "999")
    assert (status, out) == (2, "") and "1000<=x<=768000" in err


def test_a_closed_standard_input_is_one_message(audio, tmp_path):
    command = f"{sys.executable} -m diminuendo.cli transcribe model.onnx - <&-"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("error: standard input: it is closed")


def test_what_breaks_in_a_pipe_is_named_on_a_line_of_its_own(audio, tmp_path):
    broken = np.concatenate([speak("hello world " * 30), [np.nan]]).astype(np.float32)
    soundfile.write(tmp_path / "broken.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    status, out, err = piped(tmp_path, (tmp_path / "broken.wav").read_bytes(), "--window", "4")
    assert status == 1 and out.startswith("hello world") and out.endswith("\n")
    at = (len(broken) - 1) / SAMPLE_RATE
    assert err == (
        f"error: standard input: holds a sample that is not a finite number, at {at:.3f} s; export the audio again\n"
    )


def test_ctrl_c_ends_a_microphone_and_keeps_its_last_words(audio, tmp_path, monkeypatch, capsys):
    def microphone(descriptor, raw, tell):
        def blocks():
            yield speak("hello world")
            raise KeyboardInterrupt

        return SAMPLE_RATE, blocks()

    monkeypatch.setattr("diminuendo.runtime.audio.read_pipe", microphone)
    with open(os.devnull) as device:
        monkeypatch.setattr("sys.stdin", device)
        _transcribe_standard_input(Recognizer(tmp_path / "model.onnx", threads=1), None, as_json=False)
    assert capsys.readouterr().out == "hello world\n"


def test_silence_on_standard_input_is_told_too(audio, tmp_path):
    still = bytes(2 * SAMPLE_RATE)
    note = "note: standard input: no words were heard in 1.0 s of audio\n"
    assert piped(tmp_path, still, "--raw", str(SAMPLE_RATE)) == (0, "\n", note)
    assert piped(tmp_path, still, "--raw", str(SAMPLE_RATE), "--json") == (0, "", note)


def test_standard_input_is_read_alone_and_only_it_may_be_raw(run, audio):
    assert "read alone" in run("transcribe", "model.onnx", "-", "one.wav")[2]
    assert "--raw: only with -" in run("transcribe", "model.onnx", "one.wav", "--raw", "8000")[2]


def test_transcribe_json(run, audio):
    status, out, _ = run("transcribe", "--json", "--threads", "1", "model.onnx", "one.wav", "two.flac")
    first, second = (json.loads(line) for line in out.splitlines())
    assert status == 0 and second["text"] == "goodbye"
    assert first["file"] == "one.wav" and [word["text"] for word in first["words"]] == ["hello", "world"]
    assert set(first["words"][0]) == {"text", "start", "end", "confidence"}


def test_a_script_without_spaces_is_given_by_characters(run, tmp_path):
    write_model(tmp_path / "han.onnx", metadata=script_metadata(HANZI))
    soundfile.write("han.wav", speak("dakai men"), SAMPLE_RATE)
    said = "".join(HANZI.get(letter, letter) for letter in "dakai men")
    assert run("transcribe", "han.onnx", "han.wav") == (0, f"{said}\n", "")
    found = json.loads(run("transcribe", "--json", "han.onnx", "han.wav")[1])
    assert found["text"] == said and [word["text"] for word in found["words"]] == list(said.replace(" ", ""))
    times = [word[key] for word in found["words"] for key in ("start", "end")]
    assert times == sorted(times) and len(set(times)) == len(times)
    shutil.copy(tmp_path / "han.onnx", tmp_path / "model.onnx")
    wav = (tmp_path / "han.wav").read_bytes()
    assert piped(tmp_path, wav)[1] == f"{said}\n"
    assert [json.loads(line) for line in piped(tmp_path, wav, "--json")[1].splitlines()] == found["words"]


def test_a_bad_model_is_one_message(run, audio):
    shutil.copy("one.wav", "one.onnx")
    status, out, err = run("transcribe", "one.onnx", "one.wav")
    assert status == 1 and out == ""
    assert err.startswith("error: one.onnx: ONNX Runtime cannot load it") and "Traceback" not in err


def test_transcribe_without_a_model_takes_the_bundled_one_and_says_so(run):
    pi, charge = (str(sample.path) for sample in SAMPLES[:2])
    status, out, err = run("transcribe", pi)
    assert (status, out) == (0, "three one four one five nine\n")
    assert err.startswith("model: digits.onnx, which comes with diminuendo") and "ten English digits" in err
    assert run("transcribe", pi, charge)[1].splitlines()[1] == f"{charge}\tone six zero two one seven"


def test_the_first_argument_is_a_model_by_its_name_or_if_it_is_a_folder(run, audio, tmp_path):
    status, out, err = run("transcribe", "model.onnx")
    assert (status, out) == (1, "") and err.startswith("error: model.onnx: a model, and no recording")
    status, out, err = run("transcribe", "missing.onnx", "one.wav")
    assert (status, out) == (1, "") and "missing.onnx: there is no such model file" in err
    status, out, err = run("transcribe", str(tmp_path / "corpora"), "one.wav")
    assert (status, out) == (1, "") and "a folder without model.onnx; expected a model" in err
