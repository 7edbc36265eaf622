"""ONNX Runtime's sessions of models that are no files of their own: read, then edited."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx

from diminuendo.artifact.outside import ALIGNMENT, message_with_names, move_outside
from diminuendo.artifact.tensors import copy_of, is_outside, is_too_large, place_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

_FOLDER = "session.model_external_initializers_file_folder_path"  # for a model that is given as bytes


def open_session(model: onnx.ModelProto, options: SessionOptions) -> InferenceSession:
    """A session of a model, on the processor.

    Values outside are mapped from where they are, or else from a temporary file, which is gone afterwards: within a
    message they lie where they may not be mapped from.
    """
    import onnxruntime

    places = [place_of(tensor) for tensor in filter(is_outside, model.graph.initializer)]
    with ExitStack() as stack:
        if places or is_too_large(model):
            if len({path for path, _ in places}) != 1 or any(begin % ALIGNMENT for _, begin in places):
                folder = Path(stack.enter_context(TemporaryDirectory()))
                model = copy_of(model)
                move_outside(model, folder / "model.onnx")
            else:
                folder = Path(places[0][0]).parent
            options.add_session_config_entry(_FOLDER, str(folder))
            content = message_with_names(model)
        else:
            content = model.SerializeToString()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
