"""``diminuendo demo`` as a person starts and ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from diminuendo.cli import demo, main
from diminuendo.demo.samples import SAMPLES
from tests.factories.demo import started
from tests.factories.onnx_models import write_model
from tests.factories.project import ROOT

HEAVY = ("torch", "pydantic", "onnx", "fastapi", "scipy", "matplotlib", "mlflow", "prefect")


def test_it_starts_hears_a_sample_and_ends_cleanly_with_ctrl_c():
    with started() as (process, url):
        with urllib.request.urlopen(f"{url}api/sample/{SAMPLES[0].file}", data=b"") as answer:
            heard = json.load(answer)
        assert " ".join(word["text"] for word in heard["models"][0]["words"]) == SAMPLES[0].said
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")


def test_models_of_ones_own(tmp_path):
    paths = [str(write_model(tmp_path / name / "model.onnx", name=name)) for name in ("one", "two")]
    with started(*paths) as (_, url), urllib.request.urlopen(f"{url}api/models") as answer:
        assert [model["name"] for model in json.load(answer)["models"]] == ["one", "two"]


def test_it_imports_neither_torch_nor_anything_else_that_is_heavy():
    code = f"""
import sys
import diminuendo.cli, diminuendo.demo.server
from diminuendo.bundled import MODEL
from diminuendo.demo.requests import Requests
requests = Requests([MODEL])
requests.sample("pi.flac")
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["missing.onnx"], ["folder"], ["text.onnx"], ["model.onnx"] * 5])
def test_a_wrong_model_is_one_sentence(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.onnx")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    result = CliRunner().invoke(main, ["demo", "--no-browser", "--port", "0", *arguments])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_a_taken_port_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["demo", "--no-browser", "--port", str(port)])
    assert result.exit_code == 1 and result.stderr.startswith(f"error: port {port} cannot be used")
    assert result.stderr.count("\n") == 1 and "--port" in result.stderr


def test_a_browser_is_opened_only_where_there_is_a_desktop(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not demo._has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert demo._has_screen()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("WAYLAND_DISPLAY")
    assert demo._has_screen()
