"""The MLflow model that holds a file of a given digest: found, checked, or logged now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.artifact.external_data import is_whole
from diminuendo.registry.store import existing_store
from diminuendo.registry.version import NotWhole, save_model


def fetch_logged(digest: str, folder: Path) -> Path | None:
    """``folder/<digest>.onnx`` from MLflow; None if MLflow has no intact copy."""
    target = folder / f"{digest}.onnx"
    if is_whole(target, digest):
        return target
    with existing_store() as client:
        models = list(_models_of(client, digest)) if client else []
    for model in models:
        try:
            save_model(f"models:/{model.model_id}", digest, target)
        except NotWhole:
            continue
        return target
    return None


def whole_model(client: Any, digest: str) -> Any | None:
    """The newest MLflow model whose file has this digest; None if there is none."""
    for model in _models_of(client, digest):
        with tempfile.TemporaryDirectory() as folder:
            try:
                save_model(f"models:/{model.model_id}", digest, Path(folder, "model.onnx"))
            except NotWhole:  # its artifacts were removed or damaged; an older copy may be intact
                continue
        return model
    return None


def log_now(path: Path, name: str, digest: str, tags: dict[str, str]) -> None:
    """Log a file that MLflow does not have, as the output of its own run."""
    from diminuendo.tracking import stage_run

    with stage_run("register", name, {}, tags) as track:
        track.output(digest)
        track.model(path, digest)
    track.wait(inside_pipeline=True)


def _models_of(client: Any, digest: str) -> Iterator[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    newest = [{"field_name": "creation_timestamp", "ascending": False}]
    condition = f"tags.digest = '{digest}'"
    for model in client.search_logged_models(experiments, condition, order_by=newest) if experiments else []:
        if str(model.status) == "READY":
            yield model
