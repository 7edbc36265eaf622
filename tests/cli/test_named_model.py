"""A model by its member's name, folder or digest, where audio is heard."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.factories.audio import ROOT


@pytest.fixture
def project(run, audio, tmp_path, monkeypatch):
    """A project whose member ``loud`` is the model of ``audio``."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    Path("models/loud").mkdir(parents=True)
    Path("model.onnx").rename("models/loud/model.onnx")
    return run


@pytest.mark.parametrize("name", ["loud", "models/loud", "models/loud/", "models/loud/model.onnx"])
def test_a_member_is_heard_by_its_name_or_folder(project, name):
    assert project("transcribe", name, "one.wav") == (0, "hello world\n", "")


def test_a_member_is_profiled_by_its_name(project):
    status, out, err = project("profile", "loud", "--runs", "2", "--seconds", "0.5")
    assert (status, err) == (0, "") and "models/loud/model.onnx: " in out


def test_what_is_neither_a_model_nor_a_recording_is_not_heard_with_another_model(project):
    status, out, err = project("transcribe", "lout", "one.wav")
    assert (status, out) == (1, "") and err.startswith("error: lout: neither a file, nor the digest of a model")
    digest = hashlib.sha256(b"another").hexdigest()[:12]
    status, out, err = project("transcribe", digest, "one.wav")
    assert (status, out) == (1, "") and f"{digest}: no model of this digest" in err


def test_a_recording_without_a_suffix_is_a_recording(project):
    Path("one.wav").rename("one")
    assert project("transcribe", "loud", "one")[:2] == (0, "hello world\n")
    status, _, err = project("transcribe", "one")
    assert status == 0 and err.startswith("model: digits.onnx")


def test_a_folder_of_recordings_is_no_model(project):
    Path("calls").mkdir()
    Path("one.wav").rename("calls/one.wav")
    status, out, err = project("transcribe", "calls/")
    assert (status, out) == (1, "")
    assert "calls/: a folder without model.onnx; expected a model. For the recordings in it give calls/*" in err
