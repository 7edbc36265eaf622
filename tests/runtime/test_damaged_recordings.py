"""What a transcript says of its recording, one by one, in a batch, through a pipe and on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.data.audio import read_audio
from diminuendo.data.reading.remark import CANCELLED, CLIPPED, TRUNCATED, UNCOUNTED
from diminuendo.runtime import Recognizer
from diminuendo.runtime.audio import read_blocks, read_pipe
from tests.factories.audio_files import cancelling, sound, wav_that_states, whole, written
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model
from tests.factories.project import ROOT

CASES = ROOT.parent / "shared" / "cases" / "audio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_model(folder / "model.onnx")
    soundfile.write(folder / "one.wav", speak("hello world"), SAMPLE_RATE)
    (folder / "cut.wav").write_bytes((folder / "one.wav").read_bytes()[:-60])
    (folder / "bad.wav").write_text("no audio")
    return folder


def transcribe(folder, *arguments: str | bytes, given: bytes | None = None) -> tuple[int, bytes, bytes]:
    command = [sys.executable, "-m", "diminuendo.cli", "transcribe", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_a_transcript_says_that_its_recording_was_cut(folder):
    recognizer = Recognizer(folder / "model.onnx", threads=1)
    cut = recognizer.transcribe(folder / "cut.wav")
    assert cut.text == "hello world" and [remark.kind for remark in cut.remarks] == [TRUNCATED]
    assert cut.as_dict()["remarks"] == [{"kind": TRUNCATED, "message": cut.remarks[0].message}]
    assert "remarks" not in recognizer.transcribe(folder / "one.wav").as_dict()
    files = [folder / name for name in ("one.wav", "cut.wav", "bad.wav", "one.wav", "cut.wav")]
    found = list(recognizer.transcribe_batch([*files, speak("hello")], 1.0))
    assert isinstance(found[2], UserError)
    told = [[remark.kind for remark in one.remarks] for one in found if not isinstance(one, UserError)]
    assert told == [[], [TRUNCATED], [], [TRUNCATED], []]


def test_the_transcript_of_a_damaged_flac_is_what_could_be_heard(folder, tmp_path):
    samples = np.concatenate([speak("hello world"), np.zeros(4000, np.float32), speak("hello world")])
    soundfile.write(tmp_path / "long.flac", samples, SAMPLE_RATE)
    content = bytearray((tmp_path / "long.flac").read_bytes())
    begin = len(content) * 9 // 10
    content[begin : begin + 100] = bytes(100)
    (tmp_path / "long.flac").write_bytes(content)
    status, out, err = transcribe(tmp_path, str(folder / "model.onnx"), "long.flac")
    assert status == 0 and out.decode().startswith("hello world")
    assert err.decode().startswith("warning: long.flac: damaged after ") and len(err.splitlines()) == 1


def test_a_warning_is_one_line_and_names_of_files_are_too(folder):
    names = [b"a\nb.wav", b"c\td.wav", b"e\xff.wav"]
    content = (folder / "one.wav").read_bytes()
    for name in names:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(content)
    with open(os.fsencode(folder) + b"/no\xfe\n.wav", "wb") as file:
        file.write(b"no audio")
    files = [*names, b"no\xfe\n.wav", b"cut.wav", b"one.wav"]
    status, out, err = transcribe(folder, "model.onnx", *files)
    heard = ["a\\nb.wav", "c\\td.wav", "e\\xff.wav", "cut.wav", "one.wav"]
    assert status == 1 and out.decode().splitlines() == [f"{name}\thello world" for name in heard]
    error, warning = err.decode().splitlines()
    assert error.startswith("error: no\\xfe\\n.wav: ") and warning.startswith("warning: cut.wav: cut short: ")
    status, out, _ = transcribe(folder, "--json", "model.onnx", *files)
    lines = [json.loads(line) for line in out.decode().splitlines()]
    assert status == 1 and [os.fsencode(line["file"]) for line in lines] == [*names, b"cut.wav", b"one.wav"]


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (whole("wav"), []),
        (whole("wav")[:-3000], [TRUNCATED]),
        (wav_that_states(data=20000), [UNCOUNTED]),
        (wav_that_states(0xFFFFFFFF, 0xFFFFFFFF), []),
        (written(cancelling() / 2, 16000), [CANCELLED]),
        (written(np.clip(9 * sound(), -1, 1), 16000), [CLIPPED]),
    ],
)
@pytest.mark.parametrize("through", ["pipe", "file"])
def test_standard_input_is_looked_at_too(tmp_path, content, kinds, through):
    said = []
    if through == "file":
        (tmp_path / "a.wav").write_bytes(content)
        with open(tmp_path / "a.wav", "rb") as file:
            list(read_pipe(file.fileno(), tell=said.append)[1])
    else:
        command = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(content)
            process.stdin.close()
            list(read_pipe(process.stdout.fileno(), tell=said.append)[1])
    assert [remark.kind for remark in said] == kinds


def test_what_a_pipe_cannot_be_trusted_with_is_refused_and_read_as_a_file(folder, tmp_path):
    status, _, err = transcribe(folder, "model.onnx", "-", given=whole("vorbis"))
    assert status == 1 and b"ogg in a pipe cannot be told whole from cut" in err
    (tmp_path / "a.ogg").write_bytes(whole("vorbis") * 2)
    with open(tmp_path / "a.ogg", "rb") as file:
        rate, blocks = read_pipe(file.fileno())
        assert sum(map(len, blocks)) == 4 * rate
    with pytest.raises(UserError, match="it holds no audio"), open(folder / "one.wav", "rb") as file:
        (tmp_path / "none.wav").write_bytes(file.read(44))
        with open(tmp_path / "none.wav", "rb") as none:
            read_pipe(none.fileno())


def test_a_rate_that_no_converter_shares_is_refused_before_it_costs_memory(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(rate=64013), 64013)
    with pytest.raises(UserError, match="64013 Hz has too little in common with 16000 Hz"):
        list(read_blocks(tmp_path / "a.wav", 16000))


@pytest.mark.skipif(not CASES.is_dir(), reason="these files are not at hand")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quiet_first.noxing.mp3", 30.0),
        ("cat_cbr.mp3", 15.0),
        ("trunc.mp3", TRUNCATED),
        ("chained.ogg", 15.0),
        ("nolength.flac", 5.0),
        ("s_anti_nearly.wav", CANCELLED),
        ("s_f32768.wav", "audio out of range"),
        ("hugerate.wav", "not audio"),
    ],
)
def test_cases_from_outside(name, expected):
    try:
        audio = read_audio(CASES / name, 0.0, None)
    except UserError as error:
        assert error.kind == expected
        return
    kinds = [remark.kind for remark in audio.remarks]
    assert kinds == ([expected] if isinstance(expected, str) else [])
    if not kinds:
        assert len(audio.samples) / audio.rate == pytest.approx(expected, abs=0.1)
