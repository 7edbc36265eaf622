"""A trained model on disk: ``config.json`` (record and tokens) and ``model.safetensors``; no code is ever loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, write_json
from diminuendo.models.model import SpeechModel
from diminuendo.models.registry import build, record_from

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class StoredModel:
    """A model in evaluation mode and the tokens of its outputs."""

    model: SpeechModel
    tokens: list[str]


def save_model(folder: str | Path, model: SpeechModel, tokens: list[str]) -> None:
    """Write the record, the tokens and the weights into ``folder``; the bytes depend on them alone."""
    folder = Path(folder)
    write_json(folder / CONFIG, {"architecture": model.record.model_dump(), "tokens": tokens})
    save_weights(folder / WEIGHTS, model)


def save_weights(path: str | Path, model: SpeechModel) -> None:
    """Write the weights and buffers alone, sorted by name."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(model.state_dict().items())}
    with atomic_file(path) as temporary:
        save_file(state, temporary)


def load_model(folder: str | Path) -> StoredModel:
    """Rebuild a model from its record and weights.

    Raises:
        UserError: a file is missing, is not what it should be, or the weights do not fit the record.
    """
    folder = Path(folder)
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = build(record_from(stored["architecture"]))
        model.load_state_dict(load_file(folder / WEIGHTS))
        return StoredModel(model.eval(), list(stored["tokens"]))
    except UserError as error:  # a kind that is not known
        raise UserError(f"{folder / CONFIG}: {error}") from None
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename or folder / WEIGHTS}: not there; {folder} is not a trained model "
            f"({repro(folder)} or `dvc checkout` makes it)"
        ) from error
    except (ValidationError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{folder}: the architecture record and the weights do not load: {error}; "
            f"build it again with {repro(folder)}"
        ) from error
