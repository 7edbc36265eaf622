"""Checks that the files behind the leaderboard are those that the stages made.

DVC trusts a file whose size, time and inode are as before, and checks out a damaged object of its cache without an
error. Here every byte is read: each file is compared with the digest that ``dvc.lock`` names and with the one in the
record beside it (``lineage.json``, ``corpus.json``), which the stage wrote itself. ``flows/healing.py`` mends.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from diminuendo.artifact import lineage
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json
from diminuendo.provenance.dvc_cache import DAMAGED, LOCK, MISSING, WHOLE, Cache, Entry, locked_outputs
from diminuendo.provenance.places import CORPUS_RECORD, MODELS
from flows.dvc_lock import repository

BLOCK = 1 << 20


@dataclass(frozen=True)
class Digests:
    """MD5 and SHA-256 of a file. After reading both are known; of an expected file one or both may be missing."""

    md5: str | None = None
    sha256: str | None = None

    def fit(self, found: Digests | None) -> bool:
        return found is not None and self.md5 in (None, found.md5) and self.sha256 in (None, found.sha256)


@dataclass(frozen=True)
class Damage:
    """One file that differs from what was made.

    Attributes:
        entry: the output of DVC that it belongs to.
        path: the file in the workspace, or DVC's list of the files of a folder, which is an object of its cache.
        state: ``damaged`` or ``missing``.
        cached: state of its object in DVC's cache.
        source: an intact copy, as a file or as bytes; None if there is none.
        remake: whether the output must be made again, because one of its files has no intact copy.
    """

    entry: Entry
    path: Path
    state: str
    cached: str
    source: Path | bytes | None
    expected: Digests = Digests()
    remake: bool = False

    def __str__(self) -> str:
        copy = f"DVC's copy is {'not there' if self.cached == MISSING else self.cached}"
        if self.remake:
            made = f"{self.entry.path} is removed and {self.entry.stage} makes it again"
            return f"{self.path} is {self.state}, {copy}: {made}, at worst from its beginning; nothing else is lost"
        if isinstance(self.source, bytes):
            return f"{self.path} is {self.state}, DVC's list of the files of {self.entry.path}; it is written again"
        source = "it" if self.cached == WHOLE else f"{self.source}, which is the same,"
        return f"{self.path} is {self.state}, {copy}: {source} takes its place"


@dataclass(frozen=True)
class Output:
    """An output of DVC as it should be and as it is. A name is relative to the folder, or empty for a single file.

    Attributes:
        listing: name to md5 by ``dvc.lock``; empty if it is unknown.
        expected: name to the expected digests of the file.
        found: name to the digests that were read; None for an unreadable file.
    """

    entry: Entry
    path: Path
    listing: dict[str, str]
    expected: dict[str, Digests]
    found: dict[str, Digests | None]
    damages: list[Damage]

    def file(self, name: str) -> Path:
        return self.path / name if name else self.path


@dataclass
class Report:
    """What ``verify`` found.

    Attributes:
        copies: md5 to an intact file in the workspace.
        files, bytes: how much was read, in ``seconds``.
    """

    cache: Cache
    outputs: list[Output] = field(default_factory=list)
    copies: dict[str, Path] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def damages(self) -> list[Damage]:
        return [damage for output in self.outputs for damage in output.damages]

    def __str__(self) -> str:
        return f"{self.files} files ({self.bytes / 1e6:.0f} MB) verified in {self.seconds:.1f} s"


def verify(
    home: Path = Path(), members: Collection[str] | None = None, *, complete: bool = True, settled: bool = True
) -> Report:
    """Read every file of a family's outputs.

    Args:
        home: folder of the family's ``dvc.lock``.
        members: names of the family; other folders below ``models`` are ignored. None means all.
        complete: whether an absent output counts as missing, and not as unrequested.
        settled: whether DVC has just said that everything is up to date. Otherwise ``dvc.lock`` may be of an earlier
            run, and files are compared only with the record beside them.

    Raises:
        UserError: ``home`` is not in a DVC repository.
    """
    begin = time.monotonic()
    if (root := repository(home)) is None:
        raise UserError(f"{home.resolve()}: no DVC repository here or above; expected a checkout with .dvc")
    report = Report(Cache(root))
    with ThreadPoolExecutor(available_cores()) as pool:
        for entry in _entries(home, members):
            if complete or (home / entry.path).exists():
                report.outputs.append(_output(home, entry, report.cache, settled, pool))
    for output in report.outputs:
        bad = {damage.path for damage in output.damages}
        for name, digests in output.found.items():
            if digests is None:
                continue
            report.files, report.bytes = report.files + 1, report.bytes + output.file(name).stat().st_size
            if name in output.expected and output.file(name) not in bad and output.path not in bad:
                report.copies[digests.md5] = output.file(name)
    share_copies([report])
    report.seconds = time.monotonic() - begin
    return report


def share_copies(reports: list[Report]) -> None:
    """Use an intact file of any family for a damaged one; without one, the output must be made again."""
    copies = {md5: path for report in reports for md5, path in report.copies.items()}
    for report in reports:
        report.copies = copies
        for output in report.outputs:
            found = [replace(one, source=one.source or copies.get(one.expected.md5)) for one in output.damages]
            remake = any(one.source is None for one in found)
            output.damages[:] = [replace(one, remake=remake) for one in found]


def digests_of(path: Path) -> Digests | None:
    """MD5 and SHA-256 of a file, read once; None if it cannot be read."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                md5.update(block)
                sha256.update(block)
    except OSError:
        return None
    return Digests(md5.hexdigest(), sha256.hexdigest())


def _entries(home: Path, members: Collection[str] | None) -> Iterator[Entry]:
    """Outputs in ``dvc.lock`` whose stage is still in ``dvc.yaml``: DVC keeps entries of removed stages."""
    import yaml

    try:
        text = (home / LOCK).read_text(encoding="utf-8")
        stages = yaml.safe_load((home / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return
    place = "" if home == Path() else home.as_posix()
    for entry in locked_outputs(text, place):
        above, _, name = entry.path.rpartition("/")
        is_stranger = members is not None and above.rpartition("/")[2] == MODELS and name not in members
        if entry.stage.partition("@")[0] in stages and not is_stranger:
            yield entry


def _output(home: Path, entry: Entry, cache: Cache, settled: bool, pool: ThreadPoolExecutor) -> Output:
    path, is_folder = home / entry.path, entry.md5.endswith(".dir")
    names = _names(path) if is_folder else [""]
    paths = {name: path / name if name else path for name in names}
    found = dict(zip(paths, pool.map(digests_of, paths.values())))
    listing = cache.listing(entry.md5) if is_folder else {"": entry.md5}
    damages = []
    if listing is None:
        listing, damage = _without_list(entry, path, found, cache)
        damages += [damage] if settled else []
    record, stated = _record(path, found)
    names = {*stated, *(listing if settled else ()), *([record] if record else ())}
    expected = {name: Digests(listing.get(name) if settled else None, stated.get(name)) for name in sorted(names)}
    for name, digests in expected.items():
        here = found.get(name)
        if not digests.fit(here) or (name == record and not stated):
            damages.append(_damage(entry, path / name if name else path, here, digests, listing.get(name), cache))
    return Output(entry, path, listing, expected, found, damages)


def _names(folder: Path) -> list[str]:
    """The files that DVC sees; see ``.dvcignore``."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    seen = (path for path in paths if path.suffix != ".tmp" and "__pycache__" not in path.parts)
    return sorted(path.as_posix() for path in seen if not path.name.endswith(".onnx.sig"))


def _without_list(
    entry: Entry, path: Path, found: dict[str, Digests | None], cache: Cache
) -> tuple[dict[str, str], Damage]:
    """The list of a folder whose object is damaged or gone: that of the present files, if it matches ``dvc.lock``."""
    listed = {name: digests.md5 for name, digests in found.items() if digests and digests.md5}
    # In DVC's format (dvc_data/hashfile/tree.py); the md5 shows at once if it is right.
    content = json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(listed.items())]).encode()
    state = cache.state(entry.md5)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() == entry.md5.removesuffix(".dir"):
        return listed, Damage(entry, cache.object(entry.md5), state, state, content)
    return {}, Damage(entry, path, DAMAGED if path.exists() else MISSING, state, None)


def _record(folder: Path, found: dict[str, Digests | None]) -> tuple[str | None, dict[str, str]]:
    """The name of the record in a folder, and file to SHA-256 as it says; none if it does not match its own digest."""
    name = next((name for name in (lineage.RECORD, CORPUS_RECORD) if name in found), None)
    if name is None:
        return None, {}
    try:
        record = json.loads((folder / name).read_text(encoding="utf-8"))
        rest = {key: value for key, value in record.items() if key != "digest"}
        if record["digest"] == digest_of_json(rest):
            return name, {str(file): str(digest) for file, digest in record["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return name, {}


def _damage(entry: Entry, path: Path, here: Digests | None, expected: Digests, md5: str | None, cache: Cache) -> Damage:
    copy = digests_of(cache.object(md5)) if md5 else None
    cached = MISSING if copy is None else DAMAGED
    # The same damaged bytes are not an intact copy, whatever name DVC gives them.
    if copy is not None and copy != here and copy.md5 == md5 and expected.fit(copy):
        cached = WHOLE
    state = MISSING if here is None and not os.path.lexists(path) else DAMAGED
    return Damage(entry, path, state, cached, cache.object(md5) if md5 and cached == WHOLE else None, expected)
