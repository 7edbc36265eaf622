"""What writes each family's ONNX graph, by the kind of its record.

Apart from the models' own registry, so that a training does not depend on how files are written.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from diminuendo.core.errors import UserError
from diminuendo.models.model import SpeechModel

OnnxWriter = Callable[[SpeechModel, dict[str, str]], onnx.ModelProto]


def _conformer() -> OnnxWriter:
    from diminuendo.models.conformer.onnx_writer import build_onnx

    return build_onnx


WRITERS: dict[str, Callable[[], OnnxWriter]] = {"conformer": _conformer}


def build_onnx(model: SpeechModel, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to what its head says, as a checked ONNX model.

    Raises:
        UserError: nothing writes files of this kind of model.
    """
    kind = model.record.kind
    if kind not in WRITERS:
        raise UserError(f"models of kind {kind!r} cannot be written as ONNX; these can: {', '.join(sorted(WRITERS))}")
    return WRITERS[kind]()(model, metadata)
