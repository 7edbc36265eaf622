"""The commands and the page, on a file that writes its text itself; the program of docs/format.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import soundfile
from click.testing import CliRunner

from diminuendo.artifact.external_data import mapped
from diminuendo.artifact.onnx_file import write_onnx
from diminuendo.artifact.wire import metadata_in
from diminuendo.cli import main
from diminuendo.demo.hearing import Models
from diminuendo.evaluation.accuracy import _counts
from diminuendo.runtime.transcript import Hypothesis
from tests.factories import onnx_models
from tests.factories.light import run_light
from tests.factories.project import ROOT
from tests.factories.shipping import write_member
from tests.factories.text_models import SAMPLE_RATE, speak, time_token, tokens_of, write_text_model

SAID = [time_token(0), *tokens_of(" hello", " to", "o,"), time_token(0.7), time_token(0.8), *tokens_of(*" é中")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    with mapped(write_member(folder / "member", "student", teacher="a" * 64)) as content:
        lineage = metadata_in(content)["diminuendo.lineage"]
    plain = write_text_model(folder / "plain.onnx", name="student", metadata={"lineage": lineage})
    write_onnx(folder / "model.onnx", onnx.load(plain))  # with a checksum
    onnx_models.write_model(folder / "ctc.onnx")
    soundfile.write(folder / "a.wav", speak([*SAID, time_token(1.0)], 1.5), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "b.wav", speak(tokens_of(*" b")), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "ctc.wav", onnx_models.speak("hello world"), SAMPLE_RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    """Runs a command where the files are; gives exit status, output, errors."""
    monkeypatch.chdir(folder)

    def command(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return command


def test_transcribe(run):
    assert run("transcribe", "model.onnx", "a.wav") == (0, "hello too, é中\n", "")
    status, out, _ = run("transcribe", "model.onnx", "a.wav", "b.wav", "--batch-seconds", "9", "--language", "de")
    assert (status, out) == (0, "a.wav\thello too, é中\nb.wav\tb\n")
    assert run("transcribe", "model.onnx", "a.wav", "--timestamps")[1] == "0.00\t0.70\thello too,\n0.80\t1.00\té中\n"
    assert (
        run("transcribe", "model.onnx", "b.wav", "--window", "20", "--task", "translate", "--prompt", "x")[1] == "b\n"
    )


def test_json_has_segments_and_words(run):
    status, out, _ = run("transcribe", "model.onnx", "a.wav", "--json", "--timestamps", "--language", "auto")
    found = json.loads(out)
    assert status == 0 and found["language"] == "de" and found["text"] == "hello too, é中"
    assert [segment["text"] for segment in found["segments"]] == ["hello too,", "é中"]
    assert found["segments"][0].keys() == {"start", "end", "text", "no_speech"}
    assert [word["text"] for word in found["words"]] == ["hello", "too,", "é", "中"]
    assert run("transcribe", "model.onnx", "a.wav", "--format", "json", "--timestamps", "--language", "auto")[1] == out


def test_subtitles_of_both_kinds(run):
    status, out, _ = run("transcribe", "model.onnx", "a.wav", "--format", "srt", "--timestamps")
    assert status == 0 and re.fullmatch(
        r"1\n00:00:00,\d{3} --> 00:00:0\S+\nhello too,\n\n2\n00:00:0\S+ --> 00:00:0\S+\né中\n", out
    )
    status, out, _ = run("transcribe", "ctc.onnx", "ctc.wav", "--format", "vtt")
    assert status == 0 and re.fullmatch(r"WEBVTT\n\n00:00:00\.080 --> 00:00:0\S+\nhello world\n", out)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ctc.onnx", "ctc.wav", "--language", "de"], "language: ctc.onnx has CTC and takes none"),
        (["model.onnx", "a.wav", "--language", "xx"], "language: model.onnx does not know 'xx'; it knows de, en"),
        (["model.onnx", "a.wav", "b.wav", "--format", "srt"], "--format srt: of one recording at a time"),
        (["model.onnx", "a.wav", "--json", "--format", "vtt"], "--json: not with --format vtt"),
        (["model.onnx", "-", "--timestamps"], "--timestamps: not with -"),
        (["model.onnx", "a.wav", "--window", "0.2"], "window_seconds: 0.2, the shortest window is 1"),
    ],
)
def test_one_clear_error(run, arguments, problem):
    status, out, err = run("transcribe", *arguments)
    assert (status, out) == (1, "") and err.startswith(f"error: {problem}") and err.count("\n") == 1


def test_a_stream(folder):
    command = [sys.executable, "-m", "diminuendo.cli", "transcribe", "model.onnx", "-"]
    with open(folder / "a.wav", "rb") as audio:
        done = subprocess.run(command, cwd=folder, stdin=audio, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello too, é中\n", "")


def test_a_light_installation_is_enough(folder):
    done = run_light(folder, "-m", "diminuendo.cli", "transcribe", "model.onnx", "a.wav", "--format", "srt")
    assert done.returncode == 0 and "hello too" in done.stdout, done.stderr


def test_the_other_commands(run):
    status, out, err = run("profile", "model.onnx", "--runs", "2", "--seconds", "0.5")
    assert status == 0 and "on one thread" in out, err
    status, out, _ = run("trace", "model.onnx", "--json")
    assert status == 0 and json.loads(out)["models"]
    assert run("verify", "model.onnx")[0] == 0
    assert run("bom", "model.onnx", "--out", "bom.json")[0] == 0
    status, _, err = run("convert", "model.onnx", "--opset", "18", "--out", "old.onnx")
    assert status != 0 and "writes its text itself, without frames" in err and err.count("\n") == 1


def test_the_page_hears_a_file_and_a_microphone(folder):
    models = Models([folder / "model.onnx"])
    (heard,) = models.hear_file(folder / "a.wav")["models"]
    assert [word["text"] for word in heard["words"]] == ["hello", "too,", "é", "中"]
    microphone = models.listen(SAMPLE_RATE)
    waveform, words = speak(tokens_of(*" b")), []
    for piece in np.array_split(waveform, 3):
        words += microphone.push(piece)["models"][0]["words"]
    words += microphone.finish()["models"][0]["words"]
    assert [word["text"] for word in words] == ["b"]


def test_what_is_counted_of_hypotheses():
    assert _counts([Hypothesis("a", 3, 1), Hypothesis("", 2, 2)]) == {"frames": 5, "blank_frames": 3}
    assert _counts([Hypothesis("a", tokens=3), Hypothesis("", tokens=2)]) == {"tokens": 5}


def test_the_program_of_the_docs_runs(folder):
    section = (ROOT / "docs" / "format.md").read_text(encoding="utf-8").partition("## Format 2")[2]
    program = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    assert len(program.splitlines()) <= 40 and "diminuendo import" not in program
    for language in ([], ["de"]):
        command = [sys.executable, "-W", "error", "-c", program, "model.onnx", "a.wav", *language]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
        assert (done.returncode, done.stdout) == (0, "hello too, é中\n"), done.stderr
