"""A command in a folder of its own, and recordings with a model that hears them."""

from __future__ import annotations

import shutil

import pytest
import soundfile
from click.testing import CliRunner

from diminuendo.cli import main
from tests.factories.audio import ROOT
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


@pytest.fixture
def audio(tmp_path):
    write_model(tmp_path / "model.onnx")
    soundfile.write(tmp_path / "one.wav", speak("hello world"), SAMPLE_RATE)
    soundfile.write(tmp_path / "two.flac", speak("goodbye"), SAMPLE_RATE)
    (tmp_path / "bad.wav").write_text("no audio")
