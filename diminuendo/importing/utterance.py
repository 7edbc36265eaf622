"""What a reader finds: utterances, and what it cannot use, each with the place where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# Encoded audio (the content of a sound file), or float or int16 samples [N] or [N, channels] and their rate in Hz.
Content = bytes | tuple[np.ndarray, int]


@dataclass(frozen=True)
class Sound:
    """Where the audio of an utterance is.

    Attributes:
        path: a sound file; None: the audio is not in a file of its own, and ``read`` gives it.
        offset: seconds; None: the utterance is the whole file.
        duration: seconds from ``offset``; None: up to the end of the file.
        channel: the one that is meant, from 0; None: all of them together.
        cut_out: a file of one channel is ``channel`` already, as recipes of Kaldi write each side of a call.
    """

    path: Path | None = None
    offset: float | None = None
    duration: float | None = None
    channel: int | None = None
    cut_out: bool = False
    read: Callable[[], Content] | None = None


@dataclass(frozen=True)
class Utterance:
    """One utterance of a source. Its text and audio are not checked yet.

    Attributes:
        place: file and line, or whatever tells a reader where it stands.
        split: train, dev or test, where the source says so.
        recording: what it was cut from, where several were cut from one; speakers unknown, they stay together.
        keys: what else the source says, such as gender or accent, as it says it.
    """

    place: str
    sound: Sound
    text: str
    split: str | None = None
    id: str | None = None
    speaker: str | None = None
    recording: str | None = None
    keys: dict[str, Any] = field(default_factory=dict)


class Unusable(Exception):
    """An utterance, or something of that size, that is left out.

    Attributes:
        reason: in a few words, the same for all of a kind, as they are counted by it.
        detail: what was found.
        place: file and line.
    """

    def __init__(self, reason: str, detail: str = "", place: str = ""):
        super().__init__(reason)
        self.reason, self.detail, self.place = reason, detail, place

    def at(self, place: str) -> Unusable:
        """The same with its place, where it had none."""
        return Unusable(self.reason, self.detail, self.place or place)

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.reason, self.detail)))


Found = Iterator[Utterance | Unusable]


@dataclass
class Request:
    """What the user asked of a reader, and what it has to tell.

    Attributes:
        columns: role (``audio``, ``text``, …) to the name of a column or key of the source.
        root: folder that relative paths are seen from first, and may not leave.
        splits: name of a split in the source to train, dev, test or none.
        speaker: finds the name of a speaker, its first group, in the path of a recording.
        encoding: of a table, by a name that Python knows; None: UTF-8.
        header: whether the first line of a table names its columns.
        notes: sentences for the user, which the reader adds.
        counted: what ``count`` has counted: the place of its sentence in ``notes``, how often, and the first time.
    """

    columns: dict[str, str] = field(default_factory=dict)
    root: Path | None = None
    splits: dict[str, str] = field(default_factory=dict)
    speaker: re.Pattern[str] | None = None
    header: bool = True
    encoding: str | None = None
    notes: list[str] = field(default_factory=list)
    counted: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def count(self, what: str, first: str) -> None:
        """A note on something that occurs in many places: how often, and the first of them."""
        at, times, first = self.counted.get(what, (len(self.notes), 0, first))
        if not times:
            self.notes.append("")
        self.counted[what] = at, times + 1, first
        self.notes[at] = f"{times + 1} × {what} (first: {first})"
