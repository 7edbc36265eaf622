"""What ``verify`` checks besides models and corpora: ``dvc.lock``, single outputs, MLflow's database and its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from diminuendo.artifact import lineage
from diminuendo.config.remedy import repro
from diminuendo.core.files import digest_of_json, sha256_of
from diminuendo.family import STUDENTS
from diminuendo.provenance.dvc_cache import DAMAGED, MISSING, WHOLE, Entry
from diminuendo.provenance.finding import UNSEEN, Finding
from diminuendo.provenance.lock_copies import doubts, vouched_by
from diminuendo.provenance.places import Places
from diminuendo.tracking.address import sqlite_file
from diminuendo.tracking.digests import FOLDER, digest_of_folder
from diminuendo.tracking.store import tracking_uri

MEND = "`git checkout` it, or let `make repro` bring it up to date"


def verify_locks(places: Places) -> Iterator[Finding]:
    """Every ``dvc.lock`` of the working tree."""
    for home in places.homes:
        path = places.project / home.lock
        if not path.is_file() or path in places.unreadable_files:  # which is reported by itself
            continue
        if by := vouched_by(places.project, home):
            yield Finding(WHOLE, home.lock, str(path), by)
            continue
        found = list(doubts(places.project, home))
        for doubt in found:
            if doubt.is_damage:
                yield Finding(DAMAGED, home.lock, str(path), f"{doubt.stage}: {doubt.what}; {MEND}")
        unsure = [doubt for doubt in found if not doubt.is_damage]
        if unsure and len(unsure) == len(found):
            what = f"{unsure[0].stage}: {unsure[0].what}" + (f", and {len(unsure) - 1} more" if unsure[1:] else "")
            detail = (
                f"not as in git or as the last run left it ({what}): nothing vouches for it; commit it if it is right"
            )
            yield Finding(UNSEEN, home.lock, str(path), detail)
        elif not found:
            yield Finding(WHOLE, home.lock, str(path), "its new entries name what is here; not in git yet")


def verify_single_files(places: Places) -> Iterator[Finding]:
    """Outputs that are one file, such as the index of the raw data, and those of what each student begins with."""
    for entry in places.locked_now():
        path = places.place_of(entry)
        if entry.md5.endswith(".dir"):
            if path.name == STUDENTS and path.exists():
                yield from _folder_of_lists(places, entry, path)
        elif path.is_file():
            yield _single_file(places, entry, path, entry.md5)


def _folder_of_lists(places: Places, entry: Entry, folder: Path) -> Iterator[Finding]:
    files = places.cache.listing(entry.md5)
    if files is None:
        where = str(places.cache.object(entry.md5))
        yield Finding(places.cache.state(entry.md5), places.shown(folder), where, "the list of files in DVC's cache")
        return
    for name, md5 in sorted(files.items()):
        if (state := places.cache.state(md5)) != WHOLE:
            yield Finding(state, places.shown(folder / name), str(places.cache.object(md5)), "its copy in DVC's cache")
        if (folder / name).is_file():
            yield _single_file(places, entry, folder / name, md5)
        else:
            detail = f"dvc.lock names it; {_again(entry)}"
            yield Finding(MISSING, places.shown(folder / name), str(folder / name), detail)


def _single_file(places: Places, entry: Entry, path: Path, md5: str) -> Finding:
    found = places.md5_of(path)
    if found == md5:
        return Finding(WHOLE, places.shown(path), str(path))
    detail = f"its md5 is {found[:12]}, dvc.lock says {md5[:12]}; {_again(entry)}"
    return Finding(DAMAGED, places.shown(path), str(path), detail)


def _again(entry: Entry) -> str:
    """The command that makes an output anew, at the project's root."""
    return repro(Path(entry.home) / entry.path, entry.stage)


def verify_database() -> Iterator[Finding]:
    """MLflow's database, if it is a SQLite file: as SQLite sees it. What is in a cell of a table is not covered."""
    path = sqlite_file(tracking_uri())
    if path is None or not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20.0)) as database:
            (said,) = next(database.execute("PRAGMA integrity_check(1)"))
            broken = next(database.execute("PRAGMA foreign_key_check"), None)
    except sqlite3.DatabaseError as error:
        said, broken = str(error), None
    if said != "ok" or broken:
        reason = said if said != "ok" else f"a row of {broken[0]} belongs to none of {broken[2]}"
        yield Finding(DAMAGED, "MLflow's database", str(path), f"{reason}; move it away and a new one is made")
    else:
        detail = "its structure; figures, parameters and names in it are not covered"
        yield Finding(WHOLE, "MLflow's database", str(path), detail)


def verify_mlflow_files(places: Places) -> Iterator[Finding]:
    """What MLflow keeps as files: models with their descriptions, and copies of records, pages and figures."""
    whole = uncovered = 0
    for kept in places.store.kept_files():
        if kept.expected is None:
            found = _unrecorded(kept.path)
            uncovered += found is None
        elif not kept.path.exists():
            found = Finding(MISSING, kept.what, str(kept.path), "MLflow names it")
        else:
            is_folder = kept.expected.startswith(FOLDER)
            digest = digest_of_folder(kept.path) if is_folder else sha256_of(kept.path)
            bad = digest != kept.expected
            found = Finding(DAMAGED, kept.what, str(kept.path), "not what was logged") if bad else None
            whole += not bad
        if found is not None:
            yield found
    if whole:
        yield Finding(WHOLE, "MLflow's files", "", f"{whole} are what was logged")
    if uncovered:
        detail = f"{uncovered} were logged before digests of them were kept; not covered"
        yield Finding(UNSEEN, "MLflow's files", "", detail)


def _unrecorded(path: Path) -> Finding | None:
    """A file that no digest was kept of: a record still has its own."""
    import json

    if path.name not in (lineage.RECORD, "corpus.json") or not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("digest") == digest_of_json(record):
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return Finding(DAMAGED, "MLflow's copy of a record", str(path), "it does not match its own digest")
