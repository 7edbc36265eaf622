"""A model is opened and run in a process of its own before it is trusted with this one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from diminuendo.core.errors import UserError
from diminuendo.runtime import trial
from diminuendo.runtime.model import AcousticModel
from tests.factories.onnx_models import write_model
from tests.factories.project import ROOT


def tried(path, before: str = "") -> str:
    """What a process of its own, which has no threads yet, says of a file."""
    code = f"""
import sys
from diminuendo.core.errors import UserError
from diminuendo.runtime import trial
{before}
try:
    trial.try_out(sys.argv[1])
except UserError as error:
    print(error)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def with_nodes(path, nodes, constants):
    """A model whose output waits for the value ``bomb``."""
    model = onnx.load(write_model(path))
    last = model.graph.node[-1]
    last.output[0] = "before"
    model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
    model.graph.node.extend(nodes)
    model.graph.node.append(helper.make_node("ReduceMax", ["bomb"], ["most"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["before", "most"], ["log_probs"]))
    onnx.save(model, str(path))
    return path


def test_a_whole_model_passes(tmp_path):
    assert tried(write_model(tmp_path / "model.onnx")) == ""


def test_terabytes_in_a_small_file_are_refused(tmp_path):
    node = helper.make_node("ConstantOfShape", ["size"], ["bomb"])
    said = tried(with_nodes(tmp_path / "model.onnx", [node], {"size": [10**12]}))
    assert "model.onnx: ONNX Runtime cannot" in said and said.count("\n") == 0


def test_a_run_without_end_is_ended(tmp_path):
    info, kinds = helper.make_tensor_value_info, onnx.TensorProto
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Add", ["v", "v"], ["v_out"])],
        "body",
        [info("turn", kinds.INT64, []), info("on", kinds.BOOL, []), info("v", kinds.FLOAT, None)],
        [info("on_out", kinds.BOOL, []), info("v_out", kinds.FLOAT, None)],
    )
    node = helper.make_node("Loop", ["times", "yes", "waveform"], ["bomb"], body=body)
    path = with_nodes(tmp_path / "model.onnx", [node], {"times": 2**62, "yes": True})
    assert "took longer than a file of its size can need" in tried(path, "trial.SECONDS = 1.0")


def test_a_process_that_dies_is_told(tmp_path):
    path = write_model(tmp_path / "model.onnx")
    dies = (
        "import os\nclass Dies:\n    def __init__(self, *a, **k): os.kill(os.getpid(), 11)\ntrial.AcousticModel = Dies"
    )
    assert "it ended with SIGSEGV" in tried(path, dies)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sample_rate", "10" * 9, "sample_rate is '101010101010101010', expected a whole number from 1,000 to 768,000"),
        ("sample_rate", "16000.0", "sample_rate is '16000.0'"),
        ("sample_rate", "１６０００", "sample_rate is"),
        ("frame_seconds", "nan", "frame_seconds is 'nan', expected seconds from 0.0005 to 10"),
        ("frame_seconds", "1e-300", "frame_seconds is '1e-300'"),
        ("tokens", "[1, 2]", "tokens have 1 among them, expected texts"),
        ("tokens", '"abc"', "tokens are "),
        ("tokens", "[" * 100_000, "tokens"),
        ("tokens", '["", NaN]', "tokens is not JSON: NaN is not JSON"),
        ("name", "\x1b[31mred", "name is"),
        ("name", "a\nwhole       file b", "name is"),
        ("name", None, "there is no key diminuendo.name"),
    ],
)
def test_metadata_is_of_known_types_and_sizes(tmp_path, key, value, said):
    path = write_model(tmp_path / "model.onnx", metadata={key: value})
    with pytest.raises(UserError) as raised:
        AcousticModel(path)
    assert f"model.onnx: its metadata is damaged: {said}" in str(raised.value) and "\x1b" not in str(raised.value)


def test_an_output_that_does_not_go_with_the_tokens_is_refused(tmp_path):
    path = write_model(tmp_path / "model.onnx", metadata={"tokens": '["", "a"]'})
    with pytest.raises(UserError, match="does not go with its 2 tokens"):
        AcousticModel(path).log_probs_of(np.zeros(8000, np.float32))
    path = write_model(tmp_path / "slow.onnx", metadata={"frame_seconds": "5"})
    with pytest.raises(UserError, match="frames of 5 s"):
        AcousticModel(path).log_probs(np.zeros((2, 80000), np.float32), np.array([80000, 80000]))


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "model.onnx")
    for path in (tmp_path / "model.onnx", "/dev/zero"):
        with pytest.raises(UserError, match="a pipe, a device or a folder"):
            AcousticModel(path)
        with pytest.raises(UserError, match="a pipe, a device or a folder"):
            trial.try_out(path)


def test_a_process_that_has_a_session_is_not_split(tmp_path, monkeypatch):
    """Its threads may hold what the copy would wait for."""
    whole = write_model(tmp_path / "model.onnx")
    AcousticModel(whole)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it was split"))
    trial.try_out(whole)
    node = helper.make_node("ConstantOfShape", ["size"], ["bomb"])
    with pytest.raises(UserError, match="ONNX Runtime cannot"):
        trial.try_out(with_nodes(tmp_path / "bomb.onnx", [node], {"size": [10**12]}))
