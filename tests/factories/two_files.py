"""Tiny models that are written as large ones are: a message, and a file beside it with the weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from diminuendo.artifact import tensors
from diminuendo.artifact.onnx_file import write_onnx
from diminuendo.models.model import SpeechModel
from tests.factories.models import tiny_layer, tiny_model

SMALLEST = 64  # bytes of a tensor that goes outside


@pytest.fixture
def small_limit(monkeypatch):
    """Any model is too large for one message, and read one tensor at a time."""
    for name, value in {"LIMIT": 2000, "WHOLE": 0, "SMALLEST": SMALLEST}.items():
        monkeypatch.setattr(tensors, name, value)


def model_of_some_kilobytes(seed: int = 0) -> SpeechModel:
    layer = tiny_layer(heads=2, head_width=16, feed_forward_1=72, feed_forward_2=45, convolution=33)
    return tiny_model((layer,) * 2, width=32, subsampling_channels=8, seed=seed)


def rewrite(path: Path) -> Path:
    """Write a file again, with the limits of now; gives the path of the file with its weights."""
    model = onnx.load(path)
    write_onnx(path, model)
    (data,) = path.parent.glob(f"{path.stem}-*.data")
    return data


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
