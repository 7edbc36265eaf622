"""Small real ``model.onnx`` files whose transcripts are known: the loudness of a frame says which token it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOKENS = ["<blank>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
SAMPLE_RATE = 8000  # Hz
FRAME_SAMPLES = 160
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE


def level(token: int, tokens: int = len(TOKENS)) -> float:
    """The mean absolute amplitude of a frame that means this token; the blank is silence."""
    return 0.8 * token / tokens


def speak(text: str, frames_per_token: int = 2, pause_frames: int = 4) -> np.ndarray:
    """The waveform float32 [N] that the models of this file transcribe as ``text``, with pauses around it."""
    path = [0] * pause_frames
    for character in text:
        path += [TOKENS.index("▁" if character == " " else character)] * frames_per_token + [0] * 2
    path += [0] * pause_frames
    return np.repeat(np.array([level(token) for token in path], dtype=np.float32), FRAME_SAMPLES)


def write_model(
    path: str | Path,
    name: str = "teacher",
    confuse: tuple[str, str] | None = None,
    width: int = 0,
    dtype: type = np.float32,
    sparsity: float = 0.0,
    metadata: dict[str, str | None] | None = None,
) -> Path:
    """Write a model.

    Args:
        confuse: two letters that it takes for each other, to make its error rate known.
        width: of a square matrix that every frame is multiplied with for nothing, to make it slower and larger.
        dtype: of that matrix in the file.
        sparsity: share of zeros in that matrix.
        metadata: keys (without the prefix) to change, or to leave out where the value is None.
    """
    levels = np.array([level(token) for token in range(len(TOKENS))], dtype=np.float32)
    if confuse:
        one, other = (TOKENS.index(letter) for letter in confuse)
        levels[[one, other]] = levels[[other, one]]
    constants = {
        "levels": levels,
        "sharpness": np.array(-60000.0, dtype=np.float32),
        "frame_samples": np.array(FRAME_SAMPLES, dtype=np.int64),
        "channel": np.array([1], dtype=np.int64),
    }
    frame = {"kernel_shape": [FRAME_SAMPLES], "strides": [FRAME_SAMPLES]}
    nodes = [
        helper.make_node("Abs", ["waveform"], ["magnitude"]),
        helper.make_node("Unsqueeze", ["magnitude", "channel"], ["one_channel"]),
        helper.make_node("AveragePool", ["one_channel"], ["pooled"], **frame),
        helper.make_node("Transpose", ["pooled"], ["loudness"], perm=[0, 2, 1]),
        helper.make_node("Sub", ["loudness", "levels"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "sharpness"], ["logits"]),
        helper.make_node("Div", ["waveform_lengths", "frame_samples"], ["lengths"]),
    ]
    logits = "logits"
    if width:
        matrix = np.random.default_rng(0).normal(size=(width, width)).astype(dtype)
        matrix.reshape(-1)[: round(sparsity * matrix.size)] = 0
        constants |= {"wide": np.ones((1, width), dtype=np.float32), "matrix": matrix, "nothing": np.float32(1e-30)}
        nodes += [
            helper.make_node("MatMul", ["loudness", "wide"], ["spread"]),
            helper.make_node("Cast", ["matrix"], ["weight"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["spread", "weight"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["mean"], axes=[2], keepdims=1),
            helper.make_node("Mul", ["mean", "nothing"], ["trifle"]),
            helper.make_node("Add", ["logits", "trifle"], ["shifted"]),
        ]
        logits = "shifted"
    nodes.append(helper.make_node("LogSoftmax", [logits], ["log_probs"], axis=-1))
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["B", "N"]),
            helper.make_tensor_value_info("waveform_lengths", TensorProto.INT64, ["B"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["B", "T", len(TOKENS)]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["B"]),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    keys = {
        "format": "1",
        "tokens": json.dumps(TOKENS, ensure_ascii=False),
        "sample_rate": str(SAMPLE_RATE),
        "frame_seconds": repr(FRAME_SECONDS),
        "name": name,
        "parameters": str(len(TOKENS) + width * width),
        "lineage": json.dumps({"name": name}),
    } | (metadata or {})
    helper.set_model_props(model, {f"diminuendo.{key}": value for key, value in keys.items() if value is not None})
    onnx.checker.check_model(model)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path
