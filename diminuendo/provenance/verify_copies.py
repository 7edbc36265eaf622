"""Single copies, hashed: a folder against its record, an output in DVC's cache, files against a list of digests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.core.files import digest_of_json, json_text, sha256_of
from diminuendo.provenance.descent import Corpus
from diminuendo.provenance.dvc_cache import DAMAGED, MISSING, WHOLE
from diminuendo.provenance.finding import Finding
from diminuendo.provenance.places import CORPUS_RECORD, Places


def verify_folder(folder: Path, what: str, digest: str | None = None) -> Iterator[Finding]:
    """A folder with a ``lineage.json``: the record, and every file that it names."""
    path = folder / lineage.RECORD
    record = _record(path)
    if isinstance(record, str):
        yield Finding(MISSING if not path.exists() else DAMAGED, what, str(path), record)
        return
    if digest is not None and record["files"].get(lineage.product_of(record["stage"])) != digest:
        yield Finding(DAMAGED, what, str(path), "it names another model")
        return
    yield from verify_listed(folder, record["files"], what, f"{folder} ({len(record['files'])} files and their record)")


def verify_prepared(folder: Path, corpus: Corpus, what: str) -> Iterator[Finding]:
    """A prepared corpus: its record, which must be of this corpus, and every file that it names."""
    path = folder / CORPUS_RECORD
    record = _record(path)
    if isinstance(record, str):
        yield Finding(DAMAGED, what, str(path), record)
        return
    if record["digest"] != corpus.digest:
        yield Finding(DAMAGED, what, str(path), "it describes another corpus")
        return
    yield from verify_listed(folder, record["files"], what, f"{folder} ({len(record['files'])} files and their record)")


def _record(path: Path) -> dict[str, Any] | str:
    """A record that matches its digest, or what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
        rest = {key: value for key, value in record.items() if key != "digest"}
        files = record["files"]
        if record["digest"] != digest_of_json(rest) or not all(isinstance(one, str) for one in files.values()):
            return "it does not match its own digest"
        return record if text == json_text(record) else "it is not as it was written, though it says the same"
    except FileNotFoundError:
        return "it is not there"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"not readable as a record ({type(error).__name__}: {error})"


def verify_listed(folder: Path, files: dict[str, str], what: str, all_of_them: str) -> Iterator[Finding]:
    """The files of a folder, by name, against their SHA-256.

    Args:
        all_of_them: where they are, said in one line if all are whole.
    """
    bad = []
    for name, expected in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            bad.append(Finding(MISSING, what, str(path), "its record names it"))
        elif (found := sha256_of(path)) != expected:
            detail = f"its SHA-256 is {found[:12]}, its record says {expected[:12]}; {path.stat().st_size} bytes"
            bad.append(Finding(DAMAGED, what, str(path), detail))
    yield from bad or [Finding(WHOLE, what, all_of_them)]


def verify_output(
    path: str, key: str, is_it: Callable[[Path], bool], what: str, places: Places, folder: Path | None
) -> Iterator[Finding]:
    """An output in DVC's cache, which checks out a damaged object without an error.

    Objects too damaged to say what they belong to are reported if a ``dvc.lock`` names them for this output.

    Args:
        folder: where the output is in the working tree, if it is there.
    """
    for entry in places.outputs(path):
        of_family = f" of {entry.home}" if entry.home else ""
        of_commit = f" of commit {entry.commit[:12]}" if entry.commit else ""
        place = f"DVC's cache, {entry.stage}{of_family}{of_commit}"
        is_here = entry.commit is None and folder in (None, places.place_of(entry))
        objects, files = places.cache, places.cache.listing(entry.md5)
        if files is None:
            # The list is gone, or a damaged dvc.lock names it wrongly, though its output is in the project.
            if objects.object(entry.md5).exists() or (is_here and folder is not None):
                state, where = objects.state(entry.md5), str(objects.object(entry.md5))
                yield Finding(state, what, where, f"the list of files of {place}")
            continue
        own = objects.object(files[key]) if key in files else None
        if own is not None and own.is_file() and is_it(own):
            yield from verify_objects(files, what, place, places)
        elif own is not None and (own.is_file() or is_here) and objects.state(files[key]) != WHOLE:
            yield Finding(objects.state(files[key]), what, str(own), f"{key} of {place}")


def verify_objects(files: dict[str, str], what: str, place: str, places: Places) -> Iterator[Finding]:
    """Objects of DVC's cache, by name, against the MD5 that they are stored under."""
    states = {name: places.cache.state(md5) for name, md5 in sorted(files.items())}
    bad = [
        Finding(state, what, str(places.cache.object(files[name])), f"{name} of {place}")
        for name, state in states.items()
        if state != WHOLE
    ]
    yield from bad or [Finding(WHOLE, what, f"{place} ({len(files)} objects)")]


def verify_tracked(files: dict[str, str], objects: dict[str, Path], label: str, all_of_them: str) -> Iterator[Finding]:
    """Objects of DVC's cache against the SHA-256 of the files that they are copies of."""
    bad = []
    for name, expected in sorted(files.items()):
        path = objects.get(name)
        if path is None or not path.is_file():
            bad.append(Finding(MISSING, label, str(path or name), f"DVC's copy of {name}"))
        elif sha256_of(path) != expected:
            bad.append(Finding(DAMAGED, label, str(path), f"DVC's copy of {name} is not what the record says"))
    yield from bad or [Finding(WHOLE, label, all_of_them)]
