"""What holds for every command: inputs are never replaced, and an empty value is not a missing one."""

from __future__ import annotations

import os

import click
import pytest

from diminuendo.cli import main

SAID = "an input of this command, which would be lost; give another name to write to"


def commands(group=main, *above):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


@pytest.mark.parametrize(
    "command",
    [
        ("sign", "model.onnx", "--key", "key.pem", "--out", "key.pem"),
        ("sign", "model.onnx", "--key", "key.pem", "--out", "model.onnx"),
        ("sign", "model.onnx", "--key", "key.pem", "--out", "link"),
        ("sign", "model.onnx", "--key", "key.pem", "--out", "hard.pem"),
        ("bom", "model.onnx", "--out", "model.onnx"),
        ("bom", "folder", "--out", "folder/model.onnx"),
        ("trace", "model.onnx", "--html", "link"),
        ("convert", "model.onnx", "--opset", "20", "--out", "model.onnx"),
        ("promote", "model.onnx", "--card", "model.onnx"),
        ("promote", "model.onnx", "--teacher", "key.pem", "--card", "key.pem"),
        ("fetch", "home@champion", "key.pem", "--key", "key.pem"),
        ("fetch", "home@champion", "new", "--key", "new.sig"),
        ("language-model", "folder/train.jsonl", "--corpus", "folder"),
    ],
    ids=" ".join,
)
def test_an_input_of_a_command_is_never_replaced_by_what_it_writes(run, audio, tmp_path, command):
    (tmp_path / "key.pem").write_text("a key")
    (tmp_path / "new.sig").write_text("a key")
    (tmp_path / "folder").mkdir()
    for name in ("model.onnx", "train.jsonl"):
        (tmp_path / "folder" / name).write_bytes((tmp_path / "model.onnx").read_bytes())
    os.symlink("model.onnx", tmp_path / "link")
    os.link(tmp_path / "key.pem", tmp_path / "hard.pem")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = run(*command)
    assert status in (1, 2) and not out and SAID in err and err.startswith("error: ")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_weights_beside_a_model_are_an_input_too(run, audio, tmp_path, monkeypatch):
    (tmp_path / "weights.data").write_text("weights")
    found = lambda path: [path, tmp_path / "weights.data"]  # noqa: E731
    monkeypatch.setattr("diminuendo.artifact.external_data.files_of", found)
    status, _, err = run("bom", "model.onnx", "--out", "weights.data")
    assert status == 2 and f"weights.data: {SAID}" in err


@pytest.mark.parametrize("path, command", commands(), ids=lambda one: "-".join(one) if isinstance(one, tuple) else "")
def test_an_empty_value_is_refused_wherever_one_is_taken(run, path, command):
    tried = 0
    for parameter in command.params:
        if getattr(parameter, "is_flag", False) or isinstance(parameter.type, click.IntRange):
            continue
        before = [one for one in command.params if isinstance(one, click.Argument) and one.required]
        needed = ["x"] * (before.index(parameter) if parameter in before else len(before))
        given = [""] if isinstance(parameter, click.Argument) else [parameter.opts[0], ""]
        needed = needed if isinstance(parameter, click.Option) or parameter.required else []
        status, out, err = run(*path, *needed, *given)
        assert (status, out) == (2, "") and "it is empty; give a value" in err, (parameter.name, err)
        tried += 1
    assert tried or not any(isinstance(one, click.Argument) for one in command.params)


def test_an_empty_parameter_file_of_all_commands_is_refused_too(run):
    status, _, err = run("--params", "", "check")
    assert status == 2 and "Invalid value for '--params': it is empty; give a value, or leave it out" in err
