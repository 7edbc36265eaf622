"""A pretrained checkpoint as this project sees it: which family it is of, its record, its vocabulary, its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.models.families import FAMILIES, PRETRAINED, PRETRAINED_WHOLE
from diminuendo.models.record import ModelRecord
from diminuendo.pretrained.folder import CONFIG, PREPROCESSOR, CheckpointFolder
from diminuendo.pretrained.source import locate
from diminuendo.pretrained.tokens import Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from torch import Tensor

    from diminuendo.models.model import SpeechModel


class Checkpoint:
    """A checkpoint whose description was read; its weights are read by :meth:`model` alone.

    Args:
        config: where it comes from.
        fetch: it is fetched if it is not on this machine.
        own_head: it is taken with the head that it has.
    Raises:
        UserError: it is not there, its type is not known, or its description is no valid one.
    """

    def __init__(self, config: PretrainedConfig, fetch: bool = True, own_head: bool = False):
        self.source = config
        self.folder = CheckpointFolder(locate(config, fetch))
        self.config = self.folder.config
        self.kind = kind_of(self.config["model_type"], self.folder.path / CONFIG, own_head)

    @cached_property
    def _door(self) -> ModuleType:
        return import_module(f"{FAMILIES[self.kind]}.pretrained")

    @property
    def has_ctc_head(self) -> bool:
        return self._door.has_ctc_head(self.config)

    @property
    def is_whole(self) -> bool:
        """Whether it is taken with its own head, which is not CTC."""
        return self.kind in PRETRAINED_WHOLE.values()

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        """``config.json``, and what else a family reads of a whole checkpoint."""
        return {**self.config, **self._door.described(self.folder)} if self.is_whole else self.config

    def record(self, vocabulary: int) -> ModelRecord:
        """Its record with so many tokens; with those of its own head see :meth:`vocabulary`.

        Raises:
            UserError: ``config.json`` lacks something, or says something that is not supported.
        """
        try:
            return self._door.record_of(self._described, self.folder.preprocessor, vocabulary)
        except UserError as error:  # which names the file
            said = str(error)
            if said.startswith(PREPROCESSOR):
                said = self.folder.preprocessor_file + said.removeprefix(PREPROCESSOR)
            raise UserError(f"{self.folder.path}: {said}") from None
        except ValidationError as error:
            kind, problem = self.config["model_type"], error.errors()[0]
            said = ": ".join([*map(str, problem["loc"]), problem["msg"].removeprefix("Value error, ")])
            raise UserError(f"{self.folder.path / CONFIG}: does not describe a {kind}: {said[:300]}") from None
        except (KeyError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
            said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            said = said or "more than memory holds"
            kind = self.config["model_type"]
            raise UserError(f"{self.folder.path / CONFIG}: does not describe a {kind}: {said[:300]}") from None

    def check_sample_rate(self, sample_rate: int) -> None:
        """Raises ``UserError`` if the corpus has another one (Hz)."""
        own = self.record(1).sample_rate
        if own != sample_rate:
            raise UserError(
                f"data.sample_rate: {sample_rate} Hz, and {self.source.source} hears {own} Hz; set it to {own}, and "
                "audio is resampled"
            )

    @cached_property
    def frame_seconds(self) -> float:
        return self.record(1).frame_seconds

    @cached_property
    def layers(self) -> int:
        """Of its encoder."""
        return self.record(1).layer_count

    @cached_property
    def about_parameters(self) -> float:
        """Those of its encoder: of all tensors that no decoder has, by their shapes; of a whole one those of both."""
        return sum(size for name, size in self.folder.sizes.items() if self.is_whole or "decoder." not in name)

    def vocabulary(self, lowercase: bool | str) -> Vocabulary:
        """That of its own head.

        Raises:
            UserError: it has no such head, or its tokenizer does not fit it.
        """
        if self.is_whole:
            return Vocabulary(
                self._door.tokenizer_of(self.folder, size := self.record(1).vocabulary), tuple(range(size))
            )
        if not self.has_ctc_head:
            named = ", ".join(self.config.get("architectures") or ["no architecture named"])
            raise UserError(
                f"{self.folder.path}: has no CTC head ({named}); give teacher.head: ctc, and text.units and vocab_size "
                "for the new one"
            )
        size, blank = self.config.get("vocab_size"), self.config.get("pad_token_id")
        if type(size) is not int or type(blank) is not int:
            raise UserError(
                f"{self.folder.path / CONFIG}: expected vocab_size and pad_token_id (the blank) as whole numbers, "
                f"found {size!r} and {blank!r}"
            )
        return vocabulary_of(self.folder, size, blank, lowercase)

    def model(self, vocabulary: int, order: Sequence[int] | None) -> SpeechModel:
        """The model with its weights, in evaluation mode.

        Args:
            vocabulary: tokens, the blank among them.
            order: ``Vocabulary.order``, for its own head; None: a new head, whose weights are drawn from PyTorch's
                generator.
        Raises:
            UserError: a tensor is missing, or has another shape than the description says.
        """
        from diminuendo.models.registry import build

        record = self.record(vocabulary)
        state = self._state(self.folder.tensors, record, order)
        model = build(record)
        self._check_state(state, model, order)
        for name, tensor in model.state_dict().items():
            if name in state:
                tensor.copy_(state[name])
        return model.eval()

    def check_weights(self, order: Sequence[int] | None) -> None:
        """Raises what :meth:`model` would, as far as the headers of the files tell; no weight is read."""
        import torch

        from diminuendo.models.registry import build

        record = self.record(len(order) if order else 1)
        state = self._state(self.folder.outlines, record, order)
        with torch.device("meta"):
            self._check_state(state, build(record), order)

    def _state(
        self, tensors: Mapping[str, Tensor], record: ModelRecord, order: Sequence[int] | None
    ) -> dict[str, Tensor]:
        try:
            return self._door.state_of(tensors, self.config, record, order)
        except UserError as error:
            raise UserError(f"{self.folder.path}: {error}") from None
        except KeyError as error:
            raise UserError(f"{self.folder.path}: the tensor {error.args[0]} is missing; download it again") from None

    def _check_state(self, state: Mapping[str, Tensor], model: SpeechModel, order: Sequence[int] | None) -> None:
        own = model.state_dict()
        for name, tensor in own.items():
            given = state.get(name)
            if given is None and order is None and name.startswith(f"{model.structure().output}."):
                continue
            if given is None or given.shape != tensor.shape:
                found = "missing" if given is None else f"of shape {tuple(given.shape)}"
                raise UserError(
                    f"{self.folder.path}: the weights of {name} are {found}, expected {tuple(tensor.shape)} by "
                    f"{CONFIG}; the two do not belong together"
                )
        if unknown := sorted(set(state) - set(own)):
            raise UserError(
                f"{self.folder.path}: {CONFIG} describes no {unknown[0]}, which has weights; the two do not belong "
                "together"
            )

    def facts(self) -> dict[str, Any]:
        """What lineage says of it: the source, the commit, the licence, and the SHA-256 of every file."""
        licence = self.source.licence or self.folder.licence
        revision = {"revision": self.source.revision} if self.source.revision else {}
        return {
            "source": self.source.source,
            **revision,
            "licence": licence or "not stated",
            "files": {name: sha256_of(self.folder.path / name) for name in self.folder.files},
        }


@lru_cache(maxsize=8)
def opened(config: PretrainedConfig, fetch: bool = True, own_head: bool = False) -> Checkpoint:
    """A :class:`Checkpoint`, read once by a process."""
    return Checkpoint(config, fetch, own_head)


def at_hand(config: PretrainedConfig, own_head: bool = False) -> Checkpoint | None:
    """The checkpoint; None if it is not on this machine, or cannot be used (which every stage that reads it says)."""
    try:
        found = opened(config, fetch=False, own_head=own_head)
        found.record(1)
    except UserError:
        return None
    return found


def layers_at_hand(config: PretrainedConfig, own_head: bool = False) -> int | None:
    """Layers of its encoder, if it is at hand."""
    found = at_hand(config, own_head)
    return None if found is None else found.layers


def kind_of(model_type: str, path: Path, own_head: bool = False) -> str:
    """The family that reads this type of checkpoint."""
    if model_type not in PRETRAINED:
        raise UserError(
            f"{path}: model_type {model_type!r} is not known; there are: {', '.join(sorted(PRETRAINED))}. Distillation "
            "from its transcriptions alone works for any recogniser: put them into the manifests"
        )
    return PRETRAINED_WHOLE.get(model_type, PRETRAINED[model_type]) if own_head else PRETRAINED[model_type]
