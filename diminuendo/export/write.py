"""A trained model as the file that ships."""

from __future__ import annotations

from pathlib import Path

import onnx

from diminuendo.artifact.onnx_file import PREFIX, metadata_of, write_onnx
from diminuendo.export.registry import build_onnx
from diminuendo.models.model import SpeechModel, parameter_count


def export_model(
    path: str | Path, model: SpeechModel, *, name: str, tokens: list[str], lineage: dict
) -> onnx.ModelProto:
    """Write a trained model as the file that ships; its bytes depend on the arguments alone."""
    record = model.record
    metadata = metadata_of(name, tokens, record.sample_rate, record.frame_seconds, parameter_count(model), lineage)
    metadata |= {f"{PREFIX}{key}": value for key, value in model.head.metadata.items()}
    exported = build_onnx(model, metadata)
    write_onnx(path, exported)
    return exported
