"""Stages that are recorded, and what MLflow has of them."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from diminuendo import tracking
from diminuendo.core.files import sha256_of
from diminuendo.tracking.delivery import Delivery
from diminuendo.tracking.journal import OUTBOX, journals


def onnx_file(path, value=1.0):
    """The smallest model with the inputs and outputs of a shipped one: 80 samples a frame, two tokens."""
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "one"], ["channel"]),
        helper.make_node("Conv", ["channel", "kernel"], ["frames"], strides=[80]),
        helper.make_node("Transpose", ["frames"], ["logits"], perm=[0, 2, 1]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"]),
        helper.make_node("Div", ["waveform_lengths", "hop"], ["lengths"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["B", "N"]),
            helper.make_tensor_value_info("waveform_lengths", TensorProto.INT64, ["B"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["B", "T", 2]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["B"]),
        ],
        [
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("hop", TensorProto.INT64, [1], [80]),
            helper.make_tensor("kernel", TensorProto.FLOAT, [2, 1, 80], [value] * 160),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return sha256_of(path)


def record_stage(name="student", parents=None, value=1.0, **extra):
    """One stage as the room records it; returns the digest of its model."""
    with tracking.stage_run("distill", name, {"training": {"epochs": 3}, "from": "teacher"}, parents or {}) as track:
        for step in range(5):
            track.metrics({"train/loss": 1 / (step + 1)}, step=step)
        track.summary({"dev": {"wer": 0.25}, "note": "not a number"})
        digest = onnx_file("model.onnx", value)
        track.artifact("model.onnx", "files")
        track.output(digest)
        track.model("model.onnx", digest)
        for digest_of, values in extra.items():
            track.model_metrics(digest_of, values)
    return digest


def client():
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{Path('mlflow.db').resolve()}")


def runs(condition=""):
    experiment = client().get_experiment_by_name("diminuendo")
    return client().search_runs([experiment.experiment_id], condition) if experiment else []


def begun(name="student"):
    """A stage that still works, its beginning in MLflow; to be ended by ``close``."""
    stage = tracking.stage_run("distill", name, {}, {})
    track = stage.__enter__()
    track.metrics({"loss": 1.0}, step=1)
    Delivery().carry(OUTBOX / journals()[-1].name)
    (run,) = runs(f"tags.member = '{name}'")
    return stage, track, run.info.run_id


def close(stage):
    stage.__exit__(None, None, None)


def names():
    return sorted(run.info.run_name for run in runs())


def refuse(monkeypatch, name, bad, error):
    """Let a call of MLflow fail for what is ``bad``."""
    from mlflow import MlflowClient

    original = getattr(MlflowClient, name)

    def call(self, *arguments, **named):
        if bad(*arguments, **named):
            raise error
        return original(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, name, call)
