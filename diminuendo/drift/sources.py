"""Reads utterances from a prepared corpus, a manifest, or a folder of manifests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.core.errors import UserError

PROBLEMS = Path(".work/drift-problems.txt")
MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance; ``read`` gives float32 [N] in −1..1 and the rate in Hz."""

    text: str
    speaker: str | None
    duration: float  # seconds
    read: Callable[[], tuple[np.ndarray, int]]


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    digest: str | None  # of a prepared corpus
    utterances: list[Spoken]


def open_source(path: Path, lowercase: bool, splits: tuple[str, ...] | None) -> Source:
    """The utterances at ``path``.

    Args:
        path: folder of a prepared corpus; a manifest; or a folder with ``manifest.jsonl`` or with manifests of splits.
        lowercase: whether to convert texts of manifests to lower case; a prepared corpus is not changed.
        splits: which of ``train``, ``dev`` and ``test``; None means all that exist.

    Raises:
        UserError: it is none of these, or has lines or recordings that cannot be used.
    """
    if (path / "corpus.json").is_file():
        return _prepared(path, splits)
    return _manifests(path, lowercase, splits)


def _prepared(folder: Path, splits: tuple[str, ...] | None) -> Source:
    from diminuendo.data.prepared import SPLITS, PreparedCorpus

    corpus = PreparedCorpus.open(folder)
    utterances = [utterance for split in splits or SPLITS for utterance in corpus.split(split)]
    spoken = [
        Spoken(u.text, u.speaker, u.duration, lambda u=u: (corpus.audio(u), corpus.sample_rate)) for u in utterances
    ]
    return Source(str(folder), corpus.digest, _not_empty(spoken, folder))


def _manifests(path: Path, lowercase: bool, splits: tuple[str, ...] | None) -> Source:
    from diminuendo.data.manifest import read_split
    from diminuendo.data.prepared import SPLITS
    from diminuendo.data.validation import Problems

    if path.is_dir():
        names = [MANIFEST] if (path / MANIFEST).is_file() else [f"{split}.jsonl" for split in splits or SPLITS]
        files = [path / name for name in names if (path / name).is_file()]
        if not files:
            wanted = f"corpus.json (a prepared corpus), {MANIFEST}, or train.jsonl, dev.jsonl or test.jsonl"
            raise UserError(f"{path}: nothing to read; expected {wanted}")
    else:
        files = [path]
    problems = Problems()
    entries = [entry for file in files for entry in read_split(file, file.stem, lowercase, problems)]
    problems.stop(PROBLEMS)
    return Source(str(path), None, _not_empty([_spoken(entry) for entry in entries], path))


def _spoken(entry) -> Spoken:
    def read() -> tuple[np.ndarray, int]:
        from diminuendo.data.audio import read_audio

        try:
            audio = read_audio(entry.path, entry.offset or 0.0, None if entry.offset is None else entry.duration)
        except UserError as error:
            raise UserError(f"{entry.file}:{entry.line}: {error}") from None
        if not len(audio.samples):
            raise UserError(f"{entry.file}:{entry.line}: {entry.path}: no samples; remove the line")
        return audio.samples, audio.rate

    return Spoken(entry.text, entry.speaker, entry.duration, read)


def _not_empty(utterances: list[Spoken], path: Path) -> list[Spoken]:
    if not utterances:
        raise UserError(f"{path}: no utterances; there is nothing to compare")
    return utterances
