"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import click
import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.cli.out import OUT_FILE
from diminuendo.cli.transcribing import _transcribe_standard_input
from diminuendo.demo.samples import SAMPLES
from diminuendo.runtime import Recognizer
from tests.factories.audio import ROOT
from tests.factories.evaluation import HANZI, script_metadata
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in a folder that has params.yaml and the corpora alone; gives exit status, output, errors."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "corpora", tmp_path / "corpora")
    shutil.copy(ROOT / "params.yaml", tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return command


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def audio(tmp_path):
    write_model(tmp_path / "model.onnx")
    soundfile.write(tmp_path / "one.wav", speak("hello world"), SAMPLE_RATE)
    soundfile.write(tmp_path / "two.flac", speak("goodbye"), SAMPLE_RATE)
    (tmp_path / "bad.wav").write_text("no audio")


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
    status, out, err = run("transcribe", str(tmp_path), "one.wav")
    assert (status, out) == (1, "") and "a folder, expected an ONNX file" in err


def test_check_draws_the_family_or_says_what_is_wrong(run, tmp_path):
    status, out, _ = run("check")
    names = [line.strip("│├└─ ").split()[0] for line in out.splitlines()[1:-1]]
    raw = yaml.safe_load((tmp_path / "params.yaml").read_text())
    sections = ("distill", "compress_architecture", "prune", "quantize")
    assert status == 0 and names[0] == "teacher"
    assert sorted(names[1:]) == sorted(name for section in sections for name in raw[section])
    before = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(before.replace("member: slim-mixed", "member: nobody"))
    status, out, err = run("check")
    assert status == 1 and out == "" and "ship.member: there is no member 'nobody'" in err
    (tmp_path / "params.yaml").write_text(before + "\nspeed: 3\n")
    status, out, err = run("check")
    assert status == 1 and out == "" and "speed: unknown key" in err


def test_use_puts_a_file_in_place_with_changes_and_keeps_comments(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    (tmp_path / "other.yaml").write_text(source)
    (tmp_path / "params.yaml").unlink()
    status, _, err = run("use", "other.yaml", "--set", "training.epochs=3", "--set", "evaluate.group_by=[speaker]")
    assert (status, err) == (0, "")
    written = (tmp_path / "params.yaml").read_text()
    raw = yaml.safe_load(written)
    expected = yaml.safe_load(source)
    expected["training"]["epochs"], expected["evaluate"]["group_by"] = 3, ["speaker"]
    assert raw == expected
    assert written.count("#") == source.count("#")
    assert (tmp_path / "other.yaml").read_text() == source


def test_use_makes_a_family_of_its_own(run, tmp_path):
    before = (tmp_path / "params.yaml").read_text()
    status, out, _ = run("use", "params.yaml", "--as", "mine", "--set", "training.epochs=3")
    assert status == 0 and "make repro PARAMS=params/mine.yaml" in out
    assert yaml.safe_load((tmp_path / "params/mine.yaml").read_text())["training"]["epochs"] == 3
    assert (tmp_path / "params.yaml").read_text() == before
    assert run("use", "params.yaml", "--as", "mine")[0] == 0  # what `use` wrote is replaced
    assert run("--params", "params/mine.yaml", "check")[0] == 0
    status, _, err = run("use", "params.yaml", "--as", "../mine")
    assert status == 1 and "params/NAME.yaml" in err


def test_use_leaves_keys_out(run, tmp_path):
    options = ("--unset", "distill.student-alone", "--unset", "retrain", "--set", "training.epochs=3")
    status, out, _ = run("use", "params.yaml", "--as", "mine", *options)
    assert status == 0 and "without distill.student-alone" in out
    raw = yaml.safe_load((tmp_path / "params/mine.yaml").read_text())
    assert "student-alone" not in raw["distill"] and "retrain" not in raw and raw["training"]["epochs"] == 3
    for key in ("distill.nobody", "seed.more", "nobody.at.all"):
        status, _, err = run("use", "params.yaml", "--as", "mine", "--unset", key)
        assert status == 1 and f"--unset {key}: params.yaml has no such key" in err
    keys = [f"--unset=teacher.{key}" for key in ("architecture", "training", "losses")]
    status, _, err = run("use", "params.yaml", "--as", "mine", "--force", *keys)
    assert status == 1 and "a section would be left without keys" in err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("training.epochs", "expected key.path=value"),
        ("training.epochs=0", "training.epochs"),
        ("training.epochs.more=1", "training.epochs is a value"),
        ("nonsense=1", "nonsense: unknown key"),
        ("training.epochs=[", "not YAML"),
    ],
)
def test_use_refuses_what_is_not_valid_and_leaves_params_alone(run, tmp_path, change, problem):
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "other.yaml").write_bytes(before)
    status, _, err = run("use", "other.yaml", "--set", change)
    assert status == 1 and problem in err and "Traceback" not in err
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_use_does_not_overwrite_what_git_does_not_have(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    (tmp_path / "other.yaml").write_text(source.replace("seed: ", "seed: 1"))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    assert run("use", "other.yaml")[0] == 0  # params.yaml was the committed one
    own = (tmp_path / "params.yaml").read_text() + "# mine\n"
    (tmp_path / "params.yaml").write_text(own)
    status, _, err = run("use", "other.yaml")
    assert status == 1 and "not committed" in err
    assert (tmp_path / "params.yaml").read_text() == own
    (tmp_path / "third.yaml").write_text(own)
    assert run("use", "third.yaml")[0] == 0  # the same content: nothing to lose
    (tmp_path / "params.yaml").write_text(own + "# and more\n")
    assert run("use", "other.yaml", "--force")[0] == 0
    assert (tmp_path / "params.yaml").read_text() == (tmp_path / "other.yaml").read_text()


def test_use_replaces_what_use_wrote_and_keeps_it(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    (tmp_path / "other.yaml").write_text(source.replace("seed: ", "seed: 1"))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    assert run("use", "other.yaml", "--set", "training.epochs=7")[0] == 0
    written = (tmp_path / "params.yaml").read_text()
    assert run("use", "other.yaml", "--set", "training.epochs=8") == (0, ANY, "")
    assert written in [path.read_text() for path in (tmp_path / ".work/params").iterdir()]
    (tmp_path / "params.yaml").write_text(written)  # put back by hand: still what `use` wrote
    assert run("use", "other.yaml")[0] == 0
    assert run("use", "other.yaml", "--set", "training.epochs=7")[0] == 0
    shutil.rmtree(tmp_path / ".work")  # then nobody can tell any more
    status, _, err = run("use", "other.yaml")
    assert status == 1 and "not committed" in err and (tmp_path / "params.yaml").read_text() == written


def test_use_replaces_what_an_older_commit_has(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    git("init", "-q")
    for text in (source + "# old\n", source):
        (tmp_path / "params.yaml").write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", text[-5:])
    (tmp_path / "other.yaml").write_text(source + "# other\n")
    (tmp_path / "params.yaml").write_text(source + "# old\n")
    assert run("use", "other.yaml")[0] == 0


def test_use_without_git_does_not_overwrite(run, tmp_path):
    (tmp_path / "other.yaml").write_text((tmp_path / "params.yaml").read_text() + "# more\n")
    assert run("use", "other.yaml")[0] == 1
    assert run("use", "missing.yaml")[0] == 1


def test_leaderboard_without_a_report(run):
    status, out, err = run("leaderboard")
    assert status == 1 and out == "" and "dvc repro" in err


def test_help_loads_nothing_heavy():
    status = CliRunner().invoke(main, ["--help"])
    assert status.exit_code == 0
    for command in ("transcribe", "check", "leaderboard", "use"):
        assert command in status.stdout
    heavy = ("torch", "numpy", "yaml", "pydantic", "onnxruntime")
    code = f"import sys, diminuendo.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_package_is_the_command_too(tmp_path):
    done = subprocess.run([sys.executable, "-m", "diminuendo", "trace", "nowhere"], cwd=tmp_path, capture_output=True)
    assert done.returncode != 0 and b"nowhere" in done.stderr and b"Traceback" not in done.stderr


def test_a_family_that_is_not_there_is_answered_with_those_that_are(run, tmp_path):
    status, _, err = run("--params", "params/mine.yaml", "leaderboard")
    assert status == 2 and "params/mine.yaml: there is no such file; run from the repository's root" in err
    (tmp_path / "params").mkdir()
    shutil.copy(tmp_path / "params.yaml", tmp_path / "params/home.yaml")
    status, _, err = run("--params", "params/mine.yaml", "leaderboard")
    assert status == 2 and "there is no such file; those that there are: params/home.yaml" in err


def test_before_the_first_run_a_command_says_what_makes_its_corpus(run, tmp_path):
    (tmp_path / "new.jsonl").write_text("")
    for arguments, option in ((("language-model", "out.arpa"), "--corpus"), (("drift", "new.jsonl"), "--reference")):
        status, _, err = run(*arguments)
        assert status != 0 and f"no prepared corpus yet; run `dvc repro prepare`, or name one by {option}" in err


def test_before_the_first_run_a_members_name_is_answered_with_what_makes_it(run, tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    status, _, err = run("trace", "student")
    assert status == 2 and "no models yet: `dvc repro` makes those of params.yaml" in err
    (tmp_path / "models").mkdir()
    assert "no models yet" not in run("trace", "student")[2]


@pytest.mark.parametrize(
    "command",
    [
        ("bom", "model.onnx", "--out"),
        ("convert", "model.onnx", "--opset", "20", "--out"),
        ("sign", "model.onnx", "--key", "private.pem", "--out"),
        ("trace", "model.onnx", "--html"),
        ("promote", "teacher", "--card"),
        ("language-model",),
        ("fetch", "home@champion"),
    ],
    ids=lambda command: command[0],
)
def test_a_pipe_a_device_or_a_folder_is_never_replaced_by_what_a_command_writes(run, tmp_path, command):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("pipe", tmp_path / "link")  # as /dev/stdout is one
    (tmp_path / "folder").mkdir()
    for name, said in (("pipe", "a pipe or a device"), ("link", "a pipe or a device"), ("folder", "a folder")):
        status, out, err = run(*command, name)
        assert status == 2 and not out and f"{name}: {said}, expected the name of the file to write" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpora", "folder", "link", "params.yaml", "pipe"]


def test_a_link_stays_one_where_its_file_is_written(tmp_path):
    os.symlink("page.html", tmp_path / "link")
    context = click.Context(main)
    assert OUT_FILE.convert(str(tmp_path / "link"), None, context) == tmp_path / "page.html"
    assert OUT_FILE.convert("new.html", None, context) == Path("new.html")


def test_what_a_killed_command_left_is_removed_by_the_next_one(run, audio, tmp_path):
    (tmp_path / ".bom.json.0123abcd.tmp").write_text("half")
    (tmp_path / ".bom.json.download.tmp").mkdir()
    (tmp_path / ".other.json.0123abcd.tmp").write_text("another's")
    before = set(os.listdir(tmp_path))
    run("bom", "model.onnx", "--out", "bom.json")
    gone = before - set(os.listdir(tmp_path))
    assert gone == {".bom.json.0123abcd.tmp", ".bom.json.download.tmp"}


def test_what_the_system_says_of_a_file_is_one_sentence(run, audio, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    long = "x" * 300 + "hunter2"
    status, out, err = run("transcribe", "--language-model", long, "model.onnx", "one.wav")
    assert status == 1 and not out and err == f"error: {long[:-7]}…: File name too long\n"
