"""Which files of a data set's folder hold utterances, and of which split."""

from __future__ import annotations

import re
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.importing.split_names import split_named
from diminuendo.importing.utterance import Request

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of an audiofolder, beside its audio
_CACHE = re.compile(r"(cache|tmp)[-_].*")  # what `datasets` has computed for itself
_SHARD = re.compile(r"-\d+-of-\d+$")


def files_of(folder: Path, request: Request) -> list[tuple[str | None, Path]]:
    """(name of its split in the data set, file) in the order of the names; None: it names none.

    Raises:
        UserError: there are none, or of more than one configuration.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (path.suffix in (".parquet", ".arrow") or path.name in METADATA)
        and not (path.suffix == ".arrow" and _CACHE.fullmatch(path.name))
    ]
    if not files:
        raise UserError(
            f"{folder}: {_instead(folder)}expected parquet or arrow files, or metadata.csv or metadata.jsonl"
        )
    found = [(_split_in(path.relative_to(folder), request), path) for path in files]
    kinds = {_configuration(path.relative_to(folder), request) for path in files}
    if len(kinds) > 1:
        names = ", ".join(sorted(str(folder / kind) for kind in kinds))
        raise UserError(f"{folder}: has more than one configuration; give the folder of one of them: {names}")
    return found


def _split_in(relative: Path, request: Request) -> str | None:
    """The name of the split: in the name of the file, or of a folder around it."""
    if relative.name not in METADATA:
        stem = _SHARD.sub("", relative.stem)
        # `datasets` names the files of its cache after the data set: minds14-train.arrow
        for name in (stem, stem.rpartition("-")[2]):
            if split_named(name, request.splits) is not None:
                return name
        if _SHARD.search(relative.stem) and stem != "data":  # as the hub names files: other-00000-of-00003.parquet
            return stem
    folders = [part for part in reversed(relative.parts[:-1]) if part != "data"]
    return next((part for part in folders if split_named(part, request.splits) is not None), None)


def _configuration(relative: Path, request: Request) -> str:
    parts = [part for part in relative.parts[:-1] if part != "data" and split_named(part, request.splits) is None]
    return "/".join(parts)


def _instead(folder: Path) -> str:
    scripts = sorted(path.name for path in folder.glob("*.py"))
    if scripts:
        return f"has a script ({scripts[0]}), and none is ever run; save the data set with save_to_disk; "
    if any(folder.rglob("*.tar")):
        return "has tar files (webdataset), which are not read; save the data set with save_to_disk; "
    return "nothing to read; "
