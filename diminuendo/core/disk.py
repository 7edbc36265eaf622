"""A disk that is full, told in one sentence: which one, how much is free there, and what could not be written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.sizes import size

# The number of the error, or how a library that does not hand it on writes it.
_REASONS = {
    errno.ENOSPC: r"No space left on device|os error 28\b|database or disk is full|disk I/O error",
    errno.EDQUOT: r"[Dd]isk quota exceeded|os error 122\b",
    errno.EFBIG: r"File too large|os error 27\b",
}
# Below this an error that does not say why is laid to the disk: libsndfile and PyTorch only say that writing failed.
NEXT_TO_NOTHING = 256 * 1024  # bytes
ROOM = "make room there and run it again"  # what to do, in every such sentence
_TOLD = "disk_that_was_full"  # of an error: what was told of it while the disk was full, see ``writing``
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.tmp")  # see ``files.temporary_file``


class DiskFull(UserError):
    """Something could not be written because a disk has no room for it."""


def disk_full(error: BaseException, *places: str | Path) -> DiskFull | None:
    """What to tell the user where ``error`` is of a full disk; None where it is of something else.

    Args:
        places: where was written, for an error that does not name its file; beside them, the current folder may be
            where, and that of temporary files.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(found := getattr(cause, _TOLD, cause), DiskFull):
            return found
    for cause in causes:
        number = _number_of(cause)
        if number is not None:
            named = getattr(cause, "filename", None)
            return _told(number, Path(os.fsdecode(named)) if isinstance(named, (str, bytes)) else None, places)
    # Without a number: an error of writing, on a disk that has next to nothing left.
    silent = any(isinstance(cause, RuntimeError) or _is_unsaid(cause) for cause in causes)
    if silent and any(_free(place) < NEXT_TO_NOTHING for place in places):
        return _told(errno.ENOSPC, None, places)
    return None


@contextmanager
def full_disk_told(*places: str | Path) -> Iterator[None]:
    """Raise :class:`DiskFull` in place of any error within the block that a full disk is the cause of."""
    try:
        yield
    except Exception as error:
        told = disk_full(error, *places)
        if told is None or told is error:
            raise
        raise told from error


@contextmanager
def writing(temporary: Path, *, is_file: bool) -> Iterator[None]:
    """Let errors of the block name what ``temporary`` stands for, and say what was full before it is removed.

    The errors stay of their kind, so that whoever expects one gets it.
    """
    try:
        yield
    except Exception as error:
        if is_file and isinstance(error, OSError) and error.filename is None and error.errno in _REASONS:
            error.filename = str(temporary)  # of writing to a file that is open, the system does not say its name
        told = disk_full(error, temporary.parent)
        if told is not None and told is not error:
            setattr(error, _TOLD, told)
        if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike):
            named = Path(error.filename)
            if named.is_relative_to(temporary):
                error.filename = str(temporary.with_name(_final(temporary).name) / named.relative_to(temporary))
        raise


def mount_of(path: str | Path) -> Path:
    """The folder at which the file system that holds ``path`` begins; ``path`` need not exist."""
    place = _existing(path)
    device = place.stat().st_dev
    while place != place.parent and place.parent.stat().st_dev == device:
        place = place.parent
    return place


def _told(number: int, path: Path | None, places: tuple[str | Path, ...]) -> DiskFull:
    # Where no file is named, the fullest of the disks that may have been written to.
    where = path or min([*places, Path(), tempfile.gettempdir()], key=_free)
    mount, free = mount_of(where), _free(where)
    state = f"{_words(free)} of {_words(_total(where))} free"
    if number == errno.EFBIG:
        trouble = f"takes no file so large, by a limit of its own or of this user (`ulimit -f`); {state}"
    elif number == errno.EDQUOT:
        trouble = f"has no more room for this user, whose quota is used up; {state} for all"
    elif _has_no_names(where):
        trouble = f"has no room for further files, as its inodes are used up; {state}"
    else:
        trouble = f"is full, {state}"
    lost = ""
    if path is not None:
        lost = f"; {_final(path)} could not be written"
        if needed := _needed(path):
            lost += f", which takes about {_words(needed)}"
    return DiskFull(f"the disk at {mount} {trouble}{lost}: {ROOM}; it goes on where it was")


def _number_of(error: BaseException) -> int | None:
    number = getattr(error, "errno", None)
    if number in _REASONS:
        return number
    # An error of the user is a sentence of ours already, and may quote such words.
    if isinstance(error, UserError) or (isinstance(error, OSError) and number is not None):
        return None
    text = str(error)
    return next((found for found, words in _REASONS.items() if re.search(words, text)), None)


def _is_unsaid(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno is None  # NumPy: "65536 requested and 12288 written"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _existing(path: str | Path) -> Path:
    place = Path(path).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.resolve()


def _free(path: str | Path) -> int:
    """Bytes that a user without special rights may still write there."""
    with suppress(OSError):
        return shutil.disk_usage(_existing(path)).free
    return 1 << 62


def _total(path: str | Path) -> int:
    with suppress(OSError):
        return shutil.disk_usage(_existing(path)).total
    return 0


def _words(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else size(count)


def _has_no_names(path: str | Path) -> bool:
    with suppress(OSError):
        state = os.statvfs(_existing(path))
        return state.f_files > 0 and state.f_favail == 0
    return False


def _final(path: Path) -> Path:
    """The file that a temporary one was to replace, or one in a temporary folder; else ``path``."""
    matches = [(_TEMPORARY.fullmatch(part), part) for part in path.parts]
    return Path(*(match["name"] if match else part for match, part in matches))


def _needed(path: Path) -> int | None:
    """About how many bytes: as many as the file has that was to be replaced."""
    with suppress(OSError):
        if _final(path) != path:
            return _final(path).stat().st_size
    return None
