"""One recording of a manifest: read, held against its line, and resampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from diminuendo.data.audio import read_part, to_pcm16
from diminuendo.data.manifest import Entry
from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.reader import open_recording
from diminuendo.data.reading.remark import Remark
from diminuendo.data.resample import costs_too_much, resample

# A duration may differ from the file's by this much: codecs pad, and people round.
TOLERANCE_SECONDS = 0.1
TOLERANCE_SHARE = 0.01


@dataclass(frozen=True)
class Loaded:
    """int16 [N] at the corpus' rate, and what is to say of the recording."""

    samples: np.ndarray
    remarks: tuple[Remark, ...] = ()


def load_recording(entry: Entry, sample_rate: int, may_be_silent: bool = False) -> Loaded | tuple[str, str]:
    """The samples of a recording, or (kind, message) of what is wrong with it."""
    try:
        with open_recording(entry.path) as recording:
            if wrong := _refused(entry, recording.remarks) or _of_another_length(entry, recording.seconds):
                return wrong  # before a file of any length is decoded
            audio = read_part(recording, entry.offset or 0.0, entry.duration if entry.offset is not None else None)
    except Unreadable as error:
        return error.kind, str(error)
    samples, rate = audio.samples, audio.rate
    if wrong := _refused(entry, audio.remarks) or _of_another_length(
        entry, (entry.offset or 0.0) + len(samples) / rate
    ):
        return wrong
    if costs_too_much(rate, sample_rate):
        return "odd rate", f"{entry.path}: {rate} Hz has too little in common with {sample_rate} Hz; convert it"
    pcm = to_pcm16(resample(samples, rate, sample_rate))
    if not pcm.any() and not may_be_silent:
        return "silent audio", f"{entry.path}: every sample is zero, though the text is {entry.text[:60]!r}"
    return Loaded(pcm, audio.remarks)


def _refused(entry: Entry, remarks: Iterable[Remark]) -> tuple[str, str] | None:
    return next(((r.kind, f"{entry.path}: {r.message}") for r in remarks if r.refused), None)


def _of_another_length(entry: Entry, found: float) -> tuple[str, str] | None:
    """Whether the file, of ``found`` seconds, is not as long as the line says."""
    tolerance = max(TOLERANCE_SECONDS, TOLERANCE_SHARE * entry.duration)
    if entry.offset is None and abs(entry.duration - found) > tolerance:
        return (
            "wrong duration",
            f"duration: {entry.duration:g} s, but {entry.path} has {found:.3f} s (a part of a file needs offset too)",
        )
    if entry.offset is not None and (over := entry.offset + entry.duration - found) > tolerance:
        place = f"offset {entry.offset:g} s + duration {entry.duration:g} s"
        return "beyond the end", f"{entry.path}: {place} end {over:.3f} s after the file does"
    return None


class Remarks:
    """What is to say of recordings that are kept: counted, and told with the first of each kind."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[Entry, Remark]] = {}
        self._count: Counter[str] = Counter()

    def add(self, entry: Entry, remarks: Iterable[Remark]) -> None:
        for remark in remarks:
            self._first.setdefault(remark.kind, (entry, remark))
            self._count[remark.kind] += 1

    def tell(self, say: Callable[[str], None]) -> None:
        for kind, (entry, remark) in self._first.items():
            place = f"{entry.file}:{entry.line}: {entry.path}"
            say(f"warning: {self._count[kind]} × {kind}, the first at {place}: {remark.message}")
