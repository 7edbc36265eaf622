"""What writes each family's ONNX graph: ``onnx_writer.py`` of its package.

Apart from :mod:`diminuendo.models.registry`, so that a training does not depend on how files are written.
"""

from __future__ import annotations

from importlib import import_module

import onnx

from diminuendo.models.families import FAMILIES
from diminuendo.models.model import SpeechModel


def build_onnx(model: SpeechModel, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, from the waveform to the outputs of its head, as a checked ONNX model."""
    return import_module(f"{FAMILIES[model.record.kind]}.onnx_writer").build_onnx(model, metadata)
