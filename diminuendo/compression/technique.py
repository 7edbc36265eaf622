"""What a technique is: a package below ``diminuendo.compression`` with four doors, and a line in the registry.

- ``config.py``: ``Config``, a :class:`~diminuendo.compression.member.Member`: what a member says in ``params.yaml``.
- ``technique.py``: :class:`Technique`: what is trained. A technique never calls the training loop.
- ``writing.py``: :class:`Writing`: the files of a member. An edit there, or of a graph writer, trains nothing again, so
  ``technique.py`` does not import it. Most take both functions from :mod:`diminuendo.compression.writing`.
- ``description.py``: ``DESCRIPTION``, a :class:`~diminuendo.compression.description.Description`: what report, model
  card and tracking say of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from diminuendo.config.training import TrainingConfig
from diminuendo.data.prepared import PreparedCorpus

if TYPE_CHECKING:  # post-training quantization must not wait seconds for torch
    from diminuendo.models.model import SpeechModel
    from diminuendo.training.schedule import Schedule, Trained


class Track(Protocol):
    """Where a stage's curves, figures and files go, see ``diminuendo.tracking.Track``."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...

    def summary(self, values: dict[str, Any]) -> None: ...

    def artifact(self, path: Path) -> None: ...


@dataclass(frozen=True)
class Job:
    """One member to be made.

    Attributes:
        settings: its own section, the technique's ``Config``.
        training: the shared training settings with its own keys over them; None where nothing is trained.
        shared: the sections that all members share, of those that ``dvc.yaml`` declares for the technique's stage, such
            as ``frontend``: what is not declared there would change without the stage being run.
        parent: folder of the member named ``from``, checked. A schedule may read its record and its weights
            (``config.json``, ``model.safetensors``) and no other file: earlier weights of a member are taken over where
            these are the same. What it decides by other files, such as the shipped one, goes into ``Schedule.decided``.
        teacher: folder of the member that teaches it, see ``Member.taught_by``.
        work: folder for checkpoints and what took long to measure; there again after a kill.
        lineage: the record that the shipped file carries.
        open_corpus: opens the corpus, every file of which is checked then.
    """

    name: str
    settings: Any
    training: TrainingConfig | None
    shared: Mapping[str, Any]
    seed: int
    parent: Path
    teacher: Path | None
    work: Path
    lineage: dict[str, Any]
    track: Track
    open_corpus: Callable[[], PreparedCorpus]

    @cached_property
    def corpus(self) -> PreparedCorpus:
        """In the tokens that the member is trained to write; where nothing is trained, only the audio counts."""
        corpus = self.open_corpus()
        trained_as_parent = self.training is not None and self.settings.writes_as_parent
        return corpus.spelling(self.parent_tokens) if trained_as_parent else corpus

    @cached_property
    def parent_tokens(self) -> tuple[str, ...]:
        from diminuendo.models.store import tokens_of

        return tokens_of(self.parent)

    @cached_property
    def teacher_tokens(self) -> tuple[str, ...] | None:
        """That what teaches it writes, see :meth:`teacher_model`."""
        from diminuendo.models.store import tokens_of

        if self.teacher is None:
            return None
        return tokens_of(self.teacher) if self._teacher_trimmed_to is None else self.parent_tokens

    @cached_property
    def _teacher_trimmed_to(self) -> list[int] | None:
        """The teacher's tokens that a student has whose vocabulary was trimmed; None: it was not."""
        from diminuendo.models.store import load_model, tokens_of

        if not self.settings.writes_as_parent or self.parent == self.teacher:
            return None
        tokens, own = tokens_of(self.teacher), set(self.parent_tokens)
        kept = [index for index, token in enumerate(tokens) if token in own]
        if len(kept) == len(tokens) or [tokens[index] for index in kept] != list(self.parent_tokens):
            return None
        return kept if load_model(self.teacher, mapped=True).model.record.trims_tokens else None

    def parent_model(self) -> SpeechModel:
        """A copy of its own of the parent, in evaluation mode."""
        from diminuendo.models.store import load_model

        return load_model(self.parent).model

    def teacher_model(self) -> SpeechModel | None:
        """A copy of its own of what teaches it.

        Where the student was left fewer tokens, it is trimmed to them: both say the same kind of thing.
        """
        from diminuendo.models.store import load_model
        from diminuendo.models.trimmed import with_tokens

        if self.teacher is None:
            return None
        model, kept = load_model(self.teacher).model, self._teacher_trimmed_to
        return model if kept is None else with_tokens(model, kept)


class Technique(Protocol):
    """``technique.py`` of a package.

    One whose settings have ``labels`` has ``learned_from(corpus, labels, settings)`` besides: the corpus with the texts
    of that folder.
    """

    def schedule(self, job: Job) -> Schedule | None:
        """The model to start with and the phases of its training; None where nothing is trained.

        It reads only the weights and the record of the parent, see ``Job.parent``; what it decides by any other file
        is in ``Schedule.decided``.
        """


class Writing(Protocol):
    """``writing.py`` of a package."""

    def write(self, job: Job, trained: Trained | None, folder: Path) -> None:
        """Write all files of the member, and read back what ships; ``trained`` is None where nothing is."""

    def load(self, job: Job, folder: Path) -> SpeechModel:
        """The trained model from the files that :meth:`write` left, as it was given."""
