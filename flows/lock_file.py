"""``dvc.lock`` is whole whenever a process is killed.

DVC empties the file and then writes it entry by entry, for a tenth of a second in a large family.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from diminuendo.core.files import atomic_file, write_text
from diminuendo.provenance.dvc_cache import LOCK

BEGINNING = "schema: '2.0'\nstages:\n"


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


def mend(home: Path = Path()) -> bool:
    """Cut a ``dvc.lock`` that a killed DVC left half written back to its last whole entry; whether it was one.

    What was said in the entries that are lost DVC finds in its cache. A file that is wrong in another way is left as
    it is: DVC says what it does not accept. Hold DVC's lock meanwhile.
    """
    path = home / LOCK
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if _is_accepted(text):
        return False
    starts = [match.start() for match in re.finditer(r"^  \S", text, flags=re.MULTILINE)]
    if starts and _is_accepted(text[: starts[-1]]):
        write_text(path, text[: starts[-1]])
    elif BEGINNING.startswith(text[: len(BEGINNING)]) and len(starts) < 2:
        path.unlink()  # not one whole entry
    else:
        return False
    return True


def _is_accepted(text: str) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, LOCK))
    except (Invalid, YAMLFileCorruptedError):
        return False
    return True
