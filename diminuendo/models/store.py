"""A trained model on disk: ``config.json`` (record, tokens, layers), ``model.safetensors``; no code is ever loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """A model in evaluation mode and the tokens of its outputs.

    Attributes:
        teacher_layers: the layer of the family's teacher, from 0, that each of its layers belongs to; None: not known,
            as of the teacher itself and of models that were stored before the key.
    """

    model: SpeechModel
    tokens: list[str]
    teacher_layers: tuple[int, ...] | None = None


def save_model(
    folder: str | Path, model: SpeechModel, tokens: list[str], teacher_layers: Sequence[int] | None = None
) -> None:
    """Write the record, the tokens and the weights into ``folder``; the bytes depend on the arguments alone.

    Args:
        teacher_layers: see :class:`StoredModel`; None: the key is left out.
    """
    folder = Path(folder)
    config: dict[str, Any] = {"architecture": model.record.model_dump(), "tokens": tokens}
    if teacher_layers is not None:
        config["teacher_layers"] = list(teacher_layers)
    write_json(folder / CONFIG, config)
    save_weights(folder / WEIGHTS, model)


def save_weights(path: str | Path, model: SpeechModel) -> None:
    """Write the weights and buffers alone, sorted by name."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(model.state_dict().items())}
    with atomic_file(path) as temporary:
        save_file(state, temporary)


def load_model(folder: str | Path, *, mapped: bool = False) -> StoredModel:
    """Rebuild a model from its record and weights.

    Args:
        mapped: leave the weights in their file and read them as they are used, for a model that is only run.
    Raises:
        UserError: a file is missing, is not what it should be, or the weights do not fit the record.
    """
    folder = Path(folder)
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = build(record_from(stored["architecture"]))
        model.load_state_dict(load_file(folder / WEIGHTS), assign=mapped)
        teacher_layers = _teacher_layers(stored, len(model.structure().layers))
        return StoredModel(model.eval(), _tokens(stored["tokens"], model.record.vocabulary), teacher_layers)
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


def _tokens(stored: Any, vocabulary: int) -> list[str]:
    whole = isinstance(stored, list) and all(isinstance(token, str) for token in stored)
    if not whole or len(set(stored)) != vocabulary or len(stored) != vocabulary:
        raise ValueError(f"tokens: expected {vocabulary} different texts, found {stored!r:.60}")
    return stored


def _teacher_layers(stored: Mapping[str, Any], layers: int) -> tuple[int, ...] | None:
    found = stored.get("teacher_layers")
    if found is None:
        return None
    if len(found) != layers or not all(type(layer) is int and layer >= 0 for layer in found):
        raise ValueError(f"teacher_layers: {found} for {layers} layers; expected one index from 0 for each")
    return tuple(found)
