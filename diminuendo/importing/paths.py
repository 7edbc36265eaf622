"""Paths that a source names: found, or refused with one reason each."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import shown
from diminuendo.data.text import unprintable
from diminuendo.importing.utterance import Unusable

AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".rf64", ".w64", ".sph",
    ".wave", ".oga",
)  # fmt: skip
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Places:
    """Where the files that a source names are looked for.

    Args:
        bases: folders that relative paths may be seen from; the first with such a file counts.
        root: --root: looked in before ``bases``, and no relative path may leave it, whatever it is seen from. None:
            none may leave the folder that it is seen from.
        absolute: whether the source may name files anywhere. The lists of a user may; a data set that was downloaded
            may not name files outside of its folder.
    """

    def __init__(self, bases: Sequence[Path], root: Path | None, absolute: bool):
        self.root = None if root is None else Path(os.path.abspath(root))
        self.bases = [*filter(None, [self.root]), *(Path(os.path.abspath(base)) for base in bases)]
        self.absolute = absolute
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, name: str, suffixes: Sequence[str] = ()) -> Path:
        """The absolute path of a regular file.

        Args:
            suffixes: tried where the name alone is no file.
        Raises:
            Unusable: there is none, or its name cannot be used.
        """
        check_name(name)
        if _ADDRESS.match(name):
            raise Unusable("an address in place of a file; nothing is fetched, so download the audio first", name)
        seen_from = None
        for base in self.bases:
            path = os.path.normpath(base / name)
            if not Path(path).is_relative_to(self.root or base) and not (self.absolute and os.path.isabs(name)):
                continue
            seen_from = seen_from or base
            candidates = [path, *(path + suffix for suffix in suffixes)]
            for candidate in candidates:
                if _is_file(candidate):
                    return Path(candidate)
            for candidate in () if path.isascii() else candidates:
                if (found := self._composed_otherwise(candidate)) is not None:
                    return found
        if seen_from is None:
            which = "the source's folder" if self.root is None else "--root"
            raise Unusable(f"a path that leads out of {which}; give the folder around both as --root", name)
        told = name if os.path.isabs(name) else f"{name} (seen from {seen_from})"
        raise Unusable("no such file; --root FOLDER says where relative paths begin", told)

    def _composed_otherwise(self, path: str) -> Path | None:
        """The file whose accents are composed in another way on the disk, as ``data.manifest.find_file`` finds it.

        A folder is listed once: of a corpus every name may be such a one.
        """
        at, *parts = Path(path).parts
        found = Path(at)
        for part in parts:
            if not _exists(inner := found / part):
                if found not in self._names:
                    self._names[found] = _listed(found)
                own = self._names[found].get(unicodedata.normalize("NFC", part))
                if own is None:
                    return None
                inner = found / own
            found = inner
        return found if _is_file(str(found)) else None


def check_name(name: str) -> None:
    """Refuse names that cannot stand in a manifest.

    Raises:
        Unusable: the name is empty, is not UTF-8, or holds control characters.
    """
    if not name.strip():
        raise Unusable("the name of the audio is empty")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Unusable("a file name that is not UTF-8; rename the file", ascii(name)) from None
    if unprintable(name) or len(name.splitlines()) > 1:
        raise Unusable("a file name with a line break or another control character; rename the file", repr(name))


def check_plain(path: Path) -> None:
    """Refuse what need not end, or hangs until somebody writes to it.

    Raises:
        UserError: it is there, and is a pipe, a device or a folder.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # what is wrong with it is told where it is read
    if not stat.S_ISREG(mode):
        raise UserError(f"{shown(os.fspath(path))}: a pipe, a device or a folder, expected a file")


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except (OSError, ValueError):  # a name that no file can have
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _listed(folder: Path) -> dict[str, str]:
    """The names in a folder, by their composed form (NFC)."""
    try:
        return {unicodedata.normalize("NFC", name): name for name in sorted(os.listdir(folder))}
    except OSError:
        return {}
