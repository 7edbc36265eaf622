"""The command line, as a user types it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.cli.out import OUT_FILE


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


def test_leaderboard_without_a_report(run):
    status, out, err = run("leaderboard")
    assert status == 1 and out == "" and "make repro" in err


def test_help_loads_nothing_heavy():
    status = CliRunner().invoke(main, ["--help"])
    assert status.exit_code == 0
    for command in ("transcribe", "check", "leaderboard", "use"):
        assert command in status.stdout
    assert not any(line.endswith("...") for line in status.stdout.splitlines()[1:])  # sentences are whole
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
        made = "run `make repro ARGS='prepare'`"
        assert status != 0 and f"no prepared corpus yet; {made}, or name one by {option}" in err


def test_before_the_first_run_a_members_name_is_answered_with_what_makes_it(run, tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    status, _, err = run("trace", "student")
    assert status == 2 and "no models yet: `make repro` makes those of params.yaml" in err
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
