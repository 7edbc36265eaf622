"""Finds copies of an ancestry's files: in the project's folders, in DVC's cache, in MLflow, in git."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.artifact.external_data import is_whole
from diminuendo.core.errors import UserError
from diminuendo.core.extras import how_to_install, is_installed
from diminuendo.core.files import digest_of_json, sha256_of
from diminuendo.provenance.descent import Model
from diminuendo.provenance.dvc_cache import Cache, Entry
from diminuendo.provenance.git import troubles
from diminuendo.provenance.homes import FAMILIES, Home, homes
from diminuendo.provenance.store import Store
from diminuendo.tracking.address import sqlite_uri

MODELS, LABELS, CORPUS = "models", "labels", "data/prepared"
CORPUS_RECORD = "corpus.json"


@dataclass(frozen=True)
class Stored:
    """A result in DVC's cache: ``files`` are its files, relative path to md5."""

    entry: Entry
    files: dict[str, str]


class Places:
    """Looks up digests. Nothing is made, fetched or loaded; what is missing is None, and ``notes`` say why.

    Args:
        project: a repository of diminuendo, or None where there is none.
    """

    def __init__(self, project: Path | None) -> None:
        self.project = project
        self._notes: list[str] = []
        if project is None:
            self._notes.append("no project at hand (no dvc.yaml here or above): no folders, DVC cache or git looked at")
        elif not is_installed("dvc"):
            found = "so its configuration was not read: its cache was looked for in .dvc/cache alone"
            self._notes.append(f"DVC: not installed, {found}; {how_to_install('pipeline')}")
        self.store = Store(self._notes)
        self._digests: dict[Path, str] = {}

    @property
    def notes(self) -> list[str]:
        """What could not be looked at, and why: up to now, as git is asked late."""
        return [*self._notes, *troubles(self.project)]

    def note(self, sentence: str) -> None:
        """Add a note, once."""
        if sentence not in self._notes:
            self._notes.append(sentence)

    @cached_property
    def cache(self) -> Cache | None:
        return Cache(self.project) if self.project is not None else None

    @cached_property
    def homes(self) -> list[Home]:
        """The families of the project, the main one first."""
        return homes(self.project) if self.project is not None else []

    def folder_of(self, home: Home) -> Path:
        return self.project / home.place

    @cached_property
    def records(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        """Digest of ``model.onnx``, or of texts to learn from, to its folder in the project and ``lineage.json``."""
        found: dict[str, tuple[Path, dict[str, Any]]] = {}
        for home in self.homes:
            folder = self.folder_of(home)
            for path in sorted(one for kind in (MODELS, LABELS) for one in folder.glob(f"{kind}/*/{lineage.RECORD}")):
                record = _json(path)
                digest = record.get("files", {}).get(lineage.LABELS if path.parts[-3] == LABELS else lineage.MODEL)
                if digest and record.get("format") == lineage.FORMAT:
                    found.setdefault(digest, (path.parent, record))
        return found

    def model_folder(self, digest: str) -> Path | None:
        """The folder under a family's ``models/`` or ``labels/`` whose record names this file."""
        return self.records[digest][0] if digest in self.records else None

    def members(self, name: str) -> list[Path]:
        """The models of this name: that of the main family, or else of all others; ``x/NAME`` is in ``families/x``."""
        family, _, member = name.rpartition("/")
        place = f"{FAMILIES}/{family}" if family else None
        found = {
            home.place: path
            for home in self.homes
            if place in (None, home.place)
            and (path := self.folder_of(home) / MODELS / member / lineage.MODEL).is_file()
        }
        return [found[""]] if "" in found else list(found.values())

    @cached_property
    def _corpora(self) -> dict[str, Home]:
        """Digest of a prepared corpus in the project to its home."""
        found = {_json(self.folder_of(home) / CORPUS / CORPUS_RECORD).get("digest"): home for home in self.homes[::-1]}
        return {digest: home for digest, home in found.items() if digest}

    def corpus_home(self, digest: str) -> Home | None:
        return self._corpora.get(digest)

    def corpus_folder(self, digest: str) -> Path | None:
        home = self.corpus_home(digest)
        return self.folder_of(home) / CORPUS if home else None

    def stored_model(self, model: Model) -> Stored | None:
        """The model in DVC's cache, found by the ``dvc.lock`` of the working tree or of any commit."""
        folder, product = place_of(model)
        return next(self._stored(folder, product, self.has_digest(model.digest)), None)

    def stored_corpus(self, digest: str) -> Stored | None:
        return next(self.stored_corpora(digest), None)

    def stored_corpora(self, digest: str) -> Iterator[Stored]:
        """Every entry for a corpus of this digest; prepared by other code it may have other files."""
        return self._stored(CORPUS, CORPUS_RECORD, self.is_corpus(digest))

    def commits_with(self, stored: Stored | None) -> Iterator[str]:
        """The commits whose ``dvc.lock`` names a result, whether or not the working tree's does too."""
        if stored is not None:
            yield from (entry.commit for entry in self.cache.commits_with(stored.entry.path, stored.entry.md5))

    def stored_files(self) -> Iterator[Path]:
        """The object of every ``model.onnx`` in the cache that a ``dvc.lock`` ever named."""
        if self.cache is None:
            return
        for entry in self.cache.all_outputs():
            if entry.path.startswith(f"{MODELS}/"):
                md5 = (self.cache.listing(entry.md5) or {}).get(lineage.MODEL)
                if md5 and self.cache.object(md5).is_file():
                    yield self.cache.object(md5)

    def digest_of(self, path: Path) -> str:
        """SHA-256 of a file, computed once."""
        if path not in self._digests:
            self._digests[path] = sha256_of(path)
        return self._digests[path]

    def md5_of(self, path: Path) -> str:
        """MD5 of a file, by which DVC names it."""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def has_digest(self, digest: str) -> Callable[[Path], bool]:
        return lambda path: self.digest_of(path) == digest

    def is_corpus(self, digest: str) -> Callable[[Path], bool]:
        return lambda path: _json(path).get("digest") == digest

    def outputs(self, path: str) -> Iterator[Entry]:
        """Every entry for an output, of the working tree and of all commits."""
        return self.cache.outputs(path) if self.cache is not None else iter(())

    def unreadable_record(self, path: str, name: str = lineage.RECORD) -> Path | None:
        """A folder of the project whose record does not match its own digest, so that its model is unknown."""
        for home in self.homes:
            folder = self.folder_of(home) / path
            if not folder.is_dir():
                continue
            record = _json(folder / name)
            stated = record.pop("digest", None)
            if stated is None or stated != digest_of_json(record):
                return folder
        return None

    @cached_property
    def unreadable_files(self) -> list[Path]:
        """The DVC files in the project that are not YAML."""
        locks = [self.project / home.lock for home in self.homes]
        files = [*locks, *sorted(self.project.glob("data/*.dvc"))] if self.project else []
        return [path for path in files if path.is_file() and not _is_mapping(path)]

    def file_of(self, model: Model) -> Path | None:
        """Any intact copy of a model's file, with its weights beside it if it does not hold them."""
        candidates = [model.path] if model.path else []
        _, product = place_of(model)
        candidates += [folder / product] if (folder := self.model_folder(model.digest)) else []
        if stored := self.stored_model(model):
            candidates.append(self.cache.object(stored.files[product]))
        candidates += self.logged_files(model.digest)
        return next((path for path in candidates if is_whole(path, model.digest)), None)

    def logged_files(self, digest: str) -> list[Path]:
        """Where MLflow keeps models of this digest; files that cannot be fetched are included."""
        return [path for _, path in self.store.logged_models(digest)]

    def locked(self, folder: Path) -> Entry | None:
        """The working tree's entry for an output in this folder, whether or not its objects are in the cache."""
        return next((entry for entry in self.locked_now() if self.place_of(entry) == folder), None)

    def locked_now(self) -> list[Entry]:
        """Every output that a ``dvc.lock`` of the working tree names."""
        return list(self.cache.all_outputs(history=False)) if self.cache else []

    def place_of(self, entry: Entry) -> Path:
        """Where an output is, or would be, in the working tree."""
        return self.project / entry.home / entry.path

    def raw_files(self, corpus: str, digest: str | None) -> dict[str, Any] | None:
        """The list of the raw files of a corpus, from its folder or from the cache; None if it is in neither."""
        candidates = [folder / lineage.RAW] if (folder := self.corpus_folder(corpus)) else []
        if (stored := self.stored_corpus(corpus)) and lineage.RAW in stored.files:
            candidates.append(self.cache.object(stored.files[lineage.RAW]))
        for path in candidates:
            if path.is_file() and sha256_of(path) == digest:
                return _json(path)
        return None

    def shown(self, path: Path | None) -> str | None:
        """A path as a user of the project would write it."""
        return None if path is None else path.relative_to(self.project).as_posix()

    def _stored(self, path: str, key: str, is_it: Callable[[Path], bool]) -> Iterator[Stored]:
        if self.cache is None:
            return
        for entry in self.cache.outputs(path):
            files = self.cache.listing(entry.md5) or {}
            if key in files and self.cache.object(files[key]).is_file() and is_it(self.cache.object(files[key])):
                yield Stored(entry, files)

    @property
    def available(self) -> frozenset[str]:
        """Which of ``mlflow`` and ``dvc`` are available."""
        there = {"mlflow": self.store.is_there, "dvc": self.project is not None}
        return frozenset(name for name, is_there in there.items() if is_there)


def place_of(model: Model) -> tuple[str, str]:
    """The folder of a model in its family, or of texts to learn from, and the file in it whose digest names it."""
    product = lineage.product_of(model.stage or "")
    return f"{LABELS if product == lineage.LABELS else MODELS}/{model.name}", product


def find_project(start: Path | None = None) -> Path | None:
    """The nearest folder from ``start`` (or the working directory) upwards that holds a pipeline of diminuendo."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file():
            return folder
    return None


def project_at(folder: str | None) -> Path | None:
    """The project that an option names, or the nearest; its MLflow store is the one used, unless another is set.

    Raises:
        UserError: the option names a folder that is none.
    """
    path = find_project() if folder is None else Path(folder).resolve()
    if folder is not None and not ((path / "dvc.yaml").is_file() and (path / "params.yaml").is_file()):
        raise UserError(f"--project {folder}: no dvc.yaml and params.yaml there; expected a clone of a project")
    if path is not None:
        os.environ.setdefault("MLFLOW_TRACKING_URI", sqlite_uri(path / "mlflow.db"))
    return path


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _is_mapping(path: Path) -> bool:
    """Whether a file is YAML of the form that DVC writes."""
    import yaml

    try:  # a lock file has thousands of lines, for which the loader in Python takes more than a second
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(found, dict)
