"""The signature of a registered model: among the files of its MLflow model, as the card is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from diminuendo.core.files import write_text
from diminuendo.registry.store import store
from diminuendo.registry.version import LOGGED, Version
from diminuendo.signing import NAME


def attach(version: Version, text: str) -> None:
    """Put a signature with a version, in the place of an earlier one."""
    with store() as (client, _):
        keep_signature(client, client.get_model_version(version.name, version.version).source, text)


def keep_signature(client: Any, source: str, text: str) -> None:
    """
    Args:
        source: of the version: the address of its MLflow model.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder, NAME), text)
        client.log_model_artifacts(source.removeprefix(LOGGED), folder)
