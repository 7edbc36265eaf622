"""Plain files alone are read from a batch, which whoever sends recordings may fill as they like.

A link leads out of the batch or in a circle, a pipe waits for ever, a device such as ``/dev/zero`` has no end, and a
file of a few bytes may say that it is a terabyte long.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.core.sizes import size as in_words

MANIFEST_BYTES = 256_000_000
FILE_BYTES = 2_000_000_000  # of one recording, and what it takes decoded: 4 bytes a sample
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def why_not_plain(path: Path, folder: Path, most_bytes: int = FILE_BYTES) -> str | None:
    """Why ``path`` is no plain file inside of ``folder``, in a few words; None if it is one. Nothing is opened."""
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else (os.pardir,)
    if os.pardir in parts:  # also if it leads back: a link may stand before it
        return "outside of the batch's folder"
    place = folder
    for number, part in enumerate(parts, 1):
        place = place / part
        try:
            found = os.lstat(place)
        except (OSError, ValueError) as error:
            return f"not there ({getattr(error, 'strerror', None) or error})"
        kind = _kind(found.st_mode)
        if kind != ("a folder" if number < len(parts) else None):
            where = "" if number == len(parts) else f": {one_line(part)} is"
            return f"no plain file{where or ', but'} {kind or 'a file'}"
    if found.st_size > most_bytes:
        return f"{in_words(found.st_size)}, more than {in_words(most_bytes)}"
    return None


def why_too_long(path: Path) -> str | None:
    """Why a recording is not decoded: by its header it would take more than ``FILE_BYTES``. None if it may be."""
    import soundfile

    try:
        found = soundfile.info(path)
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError, TypeError):
        return None  # whoever reads it says what is wrong
    size = 4 * found.frames * found.channels
    return f"{in_words(size)} once decoded, more than {in_words(FILE_BYTES)}" if size > FILE_BYTES else None


def copy_plain(source: Path, target: Path) -> list[str]:
    """Copy a batch's folder, links as links; returns what was left out and why, in a line each.

    Raises:
        UserError: there is no room for it.
        OSError: it cannot be read or written.
    """
    files, left_out = [], []
    for path in below(source):
        found = os.lstat(path)
        kind = _kind(found.st_mode)
        if kind in (None, "a link"):
            if found.st_size <= FILE_BYTES:
                files.append((path, found.st_size))
                continue
            kind = in_words(found.st_size)
        left_out.append(f"{one_line(path.relative_to(source))}: {kind}")
    needed, free = sum(size for _, size in files), shutil.disk_usage(target.parent).free
    if needed > free:
        raise UserError(f"{source}: {in_words(needed)}, and {target.parent} has room for {in_words(free)}; make room")
    for path, _ in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)
    target.mkdir(parents=True, exist_ok=True)
    return left_out


def below(folder: Path) -> Iterator[Path]:
    """Everything in a folder but folders themselves; links to folders are not followed."""
    for place, folders, names in os.walk(folder, followlinks=False, onerror=_raise):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in (*names, *links))


def _raise(error: OSError) -> None:
    raise error


def _kind(mode: int) -> str | None:
    """What it is, if it is no plain file."""
    if stat.S_ISREG(mode):
        return None
    return next((name for is_one, name in _KINDS if is_one(mode)), "something else")
