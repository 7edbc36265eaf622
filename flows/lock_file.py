"""``dvc.lock`` is whole whenever a process is killed or a disk is full, and mended where it is not.

DVC empties the file and then writes it entry by entry, for a tenth of a second in a large family. Commands of ours let
it write beside the file. One that was started by hand does not: for such a case the last whole copy is kept in
``.work``, and git has one as well.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, write_text
from diminuendo.core.sealed import write_sealed
from diminuendo.provenance.dvc_cache import LOCK
from diminuendo.provenance.git import git
from diminuendo.provenance.lock_copies import KEPT, kept_copy, place_of_copy

BEGINNING = "schema: '2.0'\nstages:\n"
CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", flags=re.MULTILINE)


def write_atomically() -> None:
    """Let DVC, in this process, write YAML beside its file and then put it in place."""
    from dvc.utils.serialize import _common, _yaml

    in_place = _common._dump_data

    def dump(path: Any, data: Any, dumper: Any, fs: Any = None, **options: Any) -> None:
        if fs is not None and fs.protocol != "local":
            return in_place(path, data, dumper, fs, **options)
        path = Path(os.path.realpath(path))
        with atomic_file(path) as temporary:
            in_place(temporary, data, dumper, **options)
            if path.exists():
                shutil.copymode(path, temporary)

    if in_place.__module__ == _common.__name__:  # not twice
        _common._dump_data = _yaml._dump_data = dump


def keep(home: Path = Path()) -> None:
    """Keep a copy of a whole ``dvc.lock``; nothing where it is as it was, is not whole, or the disk is full."""
    with suppress(OSError, UnicodeDecodeError):
        content = (home / LOCK).read_bytes()
        if content != kept_copy(Path(), home) and _is_accepted(content.decode("utf-8")):
            write_sealed(place_of_copy(home), content)


def mend(home: Path = Path()) -> str | None:
    """Make DVC accept a damaged ``dvc.lock`` again; what was done, in a sentence, or None where nothing had to be.

    Of a file that was cut short the whole entries stay. What it lacks comes from the last whole copy, or from git's:
    DVC finds out by itself which of these entries are out of date. Hold DVC's lock meanwhile.

    Raises:
        UserError: it is damaged, and there is no whole copy; or it has the marks of an unfinished merge.
    """
    path = home / LOCK
    try:
        content = path.read_bytes()
    except OSError:
        return None
    text = content.decode("utf-8", errors="replace")
    if "\ufffd" not in text and _is_accepted(text):
        return None
    if CONFLICT.search(text):
        raise UserError(
            f"{path}: has the marks of an unfinished merge; take one side (`git checkout --ours {path}`, or --theirs) "
            "and run this again: what then is out of date is made anew"
        )
    left, (earlier, origin) = _whole_entries(text), _earlier(home)
    if left is None and earlier is None:
        raise UserError(
            f"{path}: damaged, and there is no whole copy of it, neither in {KEPT} nor in git; remove it and run this "
            "again: what the stages made before is found in DVC's cache"
        )
    aside = _put_aside(home, content)
    if earlier is None:
        path.unlink() if left == "" else write_text(path, left)
        return f"{path} was cut short, by a kill or a full disk; what it said is found again in DVC's cache{aside}"
    _write(path, earlier, left or "")
    said = "was cut short, by a kill or a full disk" if left is not None else "was damaged"
    return f"{path} {said}; what it lacked is taken from {origin}{aside}"


def _whole_entries(text: str) -> str | None:
    """The beginning of a file that was cut short, up to its last whole entry; None where it was not cut but damaged."""
    starts = [match.start() for match in re.finditer(r"^  \S", text, flags=re.MULTILINE)]
    if starts and _is_accepted(text[: starts[-1]]):
        return text[: starts[-1]]
    if BEGINNING.startswith(text[: len(BEGINNING)]) and len(starts) < 2:
        return ""
    return None


def _earlier(home: Path) -> tuple[str | None, str]:
    """An earlier whole text, and where it is from."""
    kept = kept_copy(Path(), home)
    if kept is not None:
        return kept.decode("utf-8"), f"its last whole copy ({place_of_copy(home)})"
    committed = git(home, "show", f"HEAD:./{LOCK}")
    return (committed, "git's last commit") if committed and _is_accepted(committed) else (None, "")


def _write(path: Path, earlier: str, left: str) -> None:
    """The entries of ``left``, and those of ``earlier`` that it lacks, as DVC writes them."""
    from dvc.utils.serialize import dump_yaml
    from dvc.utils.serialize._yaml import parse_yaml_for_update

    content = parse_yaml_for_update(earlier, LOCK)
    for name, entry in (parse_yaml_for_update(left, LOCK).get("stages") or {}).items() if left else ():
        content["stages"][name] = entry
    write_atomically()
    dump_yaml(str(path), content)


def _put_aside(home: Path, content: bytes) -> str:
    """Keep the damaged file, for a person to look at; the rest of the sentence. On a full disk it goes without."""
    place = place_of_copy(home).with_name(f"damaged-{LOCK}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return f"; as it was it is kept as {place}"
    return ""


def _is_accepted(text: str) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
    from voluptuous import Invalid

    try:
        # DVC accepts a file that was cut before its first entry, too, and has forgotten everything then.
        return bool(COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, LOCK)).get("stages"))
    except (Invalid, YAMLFileCorruptedError):
        return False
