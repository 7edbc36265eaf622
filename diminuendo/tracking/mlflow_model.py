"""An ONNX file as an MLflow model: the same bytes, a signature, and no code or pickle of ours."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from diminuendo.artifact.external_data import bytes_of_files, files_of
from diminuendo.core.files import canonical_json

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            TensorSpec(np.dtype(np.float32), (-1, -1), "waveform"),  # [B, N], −1 to 1
            TensorSpec(np.dtype(np.int64), (-1,), "waveform_lengths"),  # [B], samples
        ]
    ),
    outputs=Schema(
        [
            TensorSpec(np.dtype(np.float32), (-1, -1, -1), "log_probs"),  # [B, T, V]
            TensorSpec(np.dtype(np.int64), (-1,), "lengths"),  # [B], frames
        ]
    ),
)


def write_mlflow_model(folder: Path, onnx_file: Path, logged: Any, run: str) -> None:
    """Fill ``folder`` with the files that MLflow's own ONNX flavour reads.

    ``mlflow.onnx.log_model`` would write the file again, and its digest might change.

    ``logged``: the ``LoggedModel`` that the files are for.
    """
    shutil.copy2(onnx_file, folder / "model.onnx")
    for beside in files_of(onnx_file)[1:]:
        shutil.copy2(beside, folder)
    needed = ("mlflow", "onnx", "onnxruntime", "numpy")
    requirements = "".join(f"{name}=={metadata.version(name)}\n" for name in needed)
    (folder / "requirements.txt").write_text(requirements)
    model = Model(
        artifact_path=logged.artifact_location,
        run_id=run,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        signature=SIGNATURE,
        metadata={"digest": logged.tags["digest"]},
    )
    pyfunc.add_to_model(model, loader_module="mlflow.onnx", data="model.onnx", python_env="python_env.yaml")
    providers = ["CPUExecutionProvider"]
    model.add_flavor("onnx", onnx_version=metadata.version("onnx"), data="model.onnx", providers=providers)
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(canonical_json(environment))  # JSON is YAML
    model.model_size_bytes = bytes_of_files(onnx_file)
    model.save(str(folder / "MLmodel"))
