"""MLflow's own ways to run a model, on what was promoted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from diminuendo import registry
from diminuendo.runtime.ctc import decode_text
from tests.factories.onnx_models import TOKENS, speak
from tests.factories.shipping import decision_about, params

SAID = "call anna"
WAVEFORM = speak(SAID)
MODEL = Path("models/student/model.onnx")


@pytest.fixture
def champion(shop):
    return registry.promote(registry.register(params(), MODEL, decision_about(MODEL)))


def transcribed(log_probs, lengths) -> str:
    return decode_text(np.asarray(log_probs)[0, : int(lengths[0])].argmax(-1), TOKENS)


def test_pyfunc_loads_the_champion_and_runs_no_pickle(champion, monkeypatch):
    import pickle

    import mlflow

    def refuse(*_arguments, **_options):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    model = mlflow.pyfunc.load_model("models:/commands@champion")
    feed = {"waveform": WAVEFORM[None], "waveform_lengths": np.array([len(WAVEFORM)])}
    found = model.predict(feed)
    assert transcribed(found["log_probs"], found["lengths"]) == SAID
    assert model.metadata.metadata["digest"] == champion.digest
    assert model.metadata.signature.inputs.input_names() == ["waveform", "waveform_lengths"]


@pytest.fixture
def server(champion, shop):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-m", "models:/commands@champion", "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{shop / 'mlflow.db'}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it calls uvicorn by name
    }
    with open(shop / "serve.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *options], env=environment, stdout=log, stderr=log
        )
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError:
                alive = process.poll() is None and time.monotonic() < deadline
                assert alive, (shop / "serve.log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def test_mlflow_serves_the_champion(server):
    body = json.dumps({"inputs": {"waveform": [WAVEFORM.tolist()], "waveform_lengths": [len(WAVEFORM)]}}).encode()
    request = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)["predictions"]
    assert transcribed(found["log_probs"], found["lengths"]) == SAID
    bad = urllib.request.Request(
        f"{server}/invocations", b'{"inputs": {"text": 1}}', {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(bad, timeout=60)
