"""Results of every member: taken over from an earlier evaluation, or decoded now, several members at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from diminuendo.core.cores import available_cores


@dataclass(frozen=True)
class Decoding:
    """How one kind of results is made.

    Attributes:
        files: names of the files that a member's folder holds of it.
        is_current: of a member and a folder: whether the folder holds a whole result that still counts.
        decode: writes the files of a member into a folder, in a process of its own, and says what was decoded.
        taken_over: what is said of a member whose earlier result counts.
    """

    files: tuple[str, ...]
    is_current: Callable[[str, Path], bool]
    decode: Callable[[str, Path], str]
    taken_over: str


def decode_members(
    members: Iterable[str],
    decoding: Decoding,
    out: Path,
    earlier: Path | None,
    say: Callable[[str], None],
    work: Path | None = None,
) -> None:
    """Fill ``out/<member>``, with as many members at a time as there are cores.

    Args:
        earlier, work: see ``family.evaluate_family``.

    Raises:
        UserError: as ``decoding.decode``.
    """

    def one(name: str) -> str:
        for before in (earlier, work):
            if before is not None and decoding.is_current(name, before / name):
                _copy(decoding.files, before / name, out / name)
                return f"{name}: {decoding.taken_over}"
        place = (work or out) / name
        place.mkdir(parents=True, exist_ok=True)
        decoded = decoding.decode(name, place)
        if work is not None:
            _copy(decoding.files, place, out / name)
        return f"{name}: {decoded}"

    with ThreadPoolExecutor(available_cores()) as pool:
        for line in pool.map(one, members):
            say(line)


def _copy(files: tuple[str, ...], folder: Path, target: Path) -> None:
    """Copy what was decoded, and nothing that was made from it under other settings."""
    target.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copy2(folder / name, target / name)
