"""Where the raw data of a corpus are, and whether they have changed since.

A record names raw files by digest, not by location: the same data elsewhere are the same data. The location comes from
``dvc.lock``, from MLflow's run of the corpus or from a parameter file. Each of them is only a claim, and is checked
against the list of digests if that can be found.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from diminuendo.core.errors import UserError
from diminuendo.provenance.descent import Corpus
from diminuendo.provenance.dvc_cache import Entry
from diminuendo.provenance.git import digest_at, git
from diminuendo.provenance.history import data_folders, parameters_at
from diminuendo.provenance.homes import LOCK, homes_at
from diminuendo.provenance.places import CORPUS, Places
from diminuendo.provenance.store import Run

SOURCE, COLLECTED = "data.path", "data.collected"
OPTIONS = {SOURCE: "--data", COLLECTED: "--collected"}
# What has the data: the commit, DVC (by a .dvc file of the commit), a folder on this machine, or nothing.
GIT, DVC, FOLDER, NOTHING = "git", "dvc", "folder", "nothing"
MANIFESTS = ("train.jsonl", "dev.jsonl", "test.jsonl", "unlabelled.jsonl")


@dataclass(frozen=True)
class RawData:
    """The folder that a parameter should name.

    Attributes:
        value: as a clone of the project can say it; an absolute path where ``kind`` is ``FOLDER``.
        by: where this location comes from.
        changed: the files of the list that have another digest now; empty where they are as they were, or where that
            cannot be told (``is_checked`` is False).
    """

    kind: str
    value: str
    by: str
    changed: tuple[str, ...] = ()
    is_checked: bool = False


def locate(
    places: Places, corpus: Corpus, commit: str, run: Run | None = None, given: Mapping[str, Path] | None = None
) -> dict[str, RawData]:
    """Parameter name to the raw data that a clone at ``commit`` should read; unchanged data come first.

    Args:
        run: MLflow's run that made the corpus.
        given: folders that the user names; for these parameters nothing else is searched.

    Raises:
        UserError: they cannot be found, or a folder that the user names has other data.
    """
    listed = places.raw_files(corpus.digest, corpus.raw)
    found = {}
    for parameter in (SOURCE, COLLECTED):
        wanted = None if listed is None else listed["files"].get(parameter, {})
        if given and parameter in given:
            found[parameter] = _given(places, parameter, given[parameter], wanted)
        else:
            claimed = list(claims(places, corpus, parameter, commit, run))
            found[parameter] = _best(places, corpus, parameter, commit, claimed, wanted)
    return found


def claims(
    places: Places, corpus: Corpus, parameter: str, commit: str, run: Run | None = None
) -> Iterator[tuple[str, str]]:
    """Folders that may have the raw data of a corpus, and who claims it; each folder once, most reliable first."""
    seen = set()
    for value, by in _all_claims(places, corpus, parameter, commit, run):
        if value and value not in seen:
            seen.add(value)
            yield value, by


def current_folders(places: Places, corpus: str, parameter: str) -> list[Path]:
    """The folders that are named for the raw data of a corpus in the working tree."""
    home = places.corpus_home(corpus)
    if home is None:
        return []
    entry = places.locked(places.folder_of(home) / CORPUS)
    said = [entry.parameters if entry else {}, parameters_at(places.project, None, home.parameters)]
    values = dict.fromkeys(value for own in said if (value := data_folders(own).get(parameter)))
    return [places.project / value for value in values]


def tracked(places: Places, value: str, commit: str | None) -> dict[str, Path] | None:
    """Relative path to object of a folder of raw data that DVC tracks by a ``.dvc`` file.

    Args:
        commit: whose ``.dvc`` file is read; the working tree's if None.

    Returns:
        None where DVC does not track it; empty where it does, but its list of files is not in the cache or the
        ``.dvc`` file cannot be read.
    """
    name = f"{posixpath.normpath(value)}.dvc"
    if commit is None:
        path = places.project / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    else:
        text = git(places.project, "show", f"{commit}:{name}")
    if not text:
        return None
    try:
        listing = places.cache.listing(yaml.safe_load(text)["outs"][0]["md5"])
    except (yaml.YAMLError, KeyError, TypeError, IndexError):
        listing = None
    return {name: places.cache.object(md5) for name, md5 in (listing or {}).items()}


def _all_claims(
    places: Places, corpus: Corpus, parameter: str, commit: str, run: Run | None
) -> Iterator[tuple[str | None, str]]:
    for entry in _entries(places, corpus):
        yield data_folders(entry.parameters).get(parameter), lock_of(entry)
    if run is not None:
        yield run.folders.get(parameter), f"MLflow's run {run.name}"
    files = [(parameters_at(places.project, commit, home.parameters), f"{home.parameters} of commit {commit[:12]}")
             for home in homes_at(places.project, commit)]  # fmt: skip
    files += [(parameters_at(places.project, None, home.parameters), home.parameters) for home in places.homes]
    others = sorted(places.project.glob("params/*.yaml"))
    names = [path.relative_to(places.project).as_posix() for path in others]
    files += [(parameters_at(places.project, None, name), name) for name in names]
    for is_it in (_is_of, _is_of_its_kind):
        for parameters, by in files:
            if is_it(parameters, corpus):
                yield data_folders(parameters).get(parameter), by
    for entry in places.outputs(CORPUS):  # whose lists of files may be gone from the cache
        if _is_of(entry.parameters, corpus):
            yield data_folders(entry.parameters).get(parameter), f"{lock_of(entry)}, of another corpus"


def lock_of(entry: Entry) -> str:
    """Where an entry stands, in words."""
    return posixpath.join(entry.home, LOCK) + (f" of commit {entry.commit[:12]}" if entry.commit else "")


def _entries(places: Places, corpus: Corpus) -> Iterator[Entry]:
    """What every ``dvc.lock`` says of this very corpus: now, then in commits."""
    home = places.corpus_home(corpus.digest)
    if home is not None and (entry := places.locked(places.folder_of(home) / CORPUS)):
        yield entry
    for stored in places.stored_corpora(corpus.digest):
        yield stored.entry
        yield from places.cache.commits_with(CORPUS, stored.entry.md5)


def _is_of(parameters: Mapping[str, Any], corpus: Corpus) -> bool:
    """Whether parameters make such a corpus, as far as ``data`` tells; keys that they leave out are defaults."""
    made_with = corpus.facts.get("parameters", {}).get("data", {})
    own = parameters.get("data")
    if not made_with or not isinstance(own, Mapping):
        return False
    places = [name.partition(".")[2] for name in OPTIONS]
    return all(made_with.get(key) == value for key, value in own.items() if key not in places and value is not None)


def _is_of_its_kind(parameters: Mapping[str, Any], corpus: Corpus) -> bool:
    source = corpus.facts.get("source") or corpus.facts.get("parameters", {}).get("data", {}).get("source")
    own = parameters.get("data")
    return isinstance(own, Mapping) and source in (None, own.get("source"))


def _given(places: Places, parameter: str, folder: Path, wanted: dict[str, str] | None) -> RawData:
    option = OPTIONS[parameter]
    if not folder.is_dir():
        raise UserError(f"{option} {folder}: no such folder; expected that of the raw data ({parameter})")
    missing, changed = compared(wanted or {}, lambda name: digest_in(places, folder, name))
    if missing or changed:
        raise UserError(
            f"{option} {folder}: not the data that the corpus was made from: {told(missing, changed, wanted)}; "
            "give the folder that has them"
        )
    return RawData(FOLDER, str(folder.resolve()), option, is_checked=wanted is not None)


def _best(
    places: Places,
    corpus: Corpus,
    parameter: str,
    commit: str,
    claimed: list[tuple[str, str]],
    wanted: dict[str, str] | None,
) -> RawData:
    """The first claim that holds; else the first whose files are all there, though some have changed."""
    second, looked = None, []
    for value, by in claimed:
        said = f"{value} (named by {by})"
        problem = f"{said} is not there"
        for kind, digest in at_hand(places, value, commit):
            name = str((places.project / value).resolve()) if kind == FOLDER else value
            if wanted is None or digest is None:
                return RawData(kind, name, by)
            missing, changed = compared(wanted, digest)
            if not wanted:  # nothing of the corpus came from here
                changed = tuple(manifest for manifest in MANIFESTS if parameter == COLLECTED and digest(manifest))
            if not missing and not changed:
                return RawData(kind, name, by, is_checked=True)
            problem = f"{said}: {told(missing, changed, wanted)}"
            if not missing:  # it is not what was read, but it is what the commit has
                second = second or (RawData(kind, name, by, changed, is_checked=True) if wanted else None)
                break
        looked.append(problem)
    if second is not None:
        return second
    if parameter == COLLECTED and not wanted:
        return RawData(NOTHING, "", "the list of raw files" if wanted is not None else "default")
    said = "; ".join(looked) or "neither a dvc.lock nor MLflow nor a parameter file says where they are"
    raise UserError(
        f"{parameter}: the raw data of corpus {corpus.digest[:12]} are not at hand: {said}. "
        f"Name the folder that has them: {OPTIONS[parameter]} FOLDER"
    )


def at_hand(places: Places, value: str, commit: str) -> Iterator[tuple[str, Callable[[str], str | None] | None]]:
    """Who has a folder, and what gives the SHA-256 of a file of it by its name (None where that cannot be told).

    The folder of the working tree comes last: git may have the manifests and not the audio.
    """
    root, path = places.project, posixpath.normpath(value)
    folder = root / value

    def in_git(name: str) -> str | None:
        outside = name.startswith("/")  # audio that a manifest names by an absolute path
        return digest_in(places, folder, name) if outside else digest_at(root, commit, posixpath.join(path, name))

    if not path.startswith(("/", "../")):
        if git(root, "rev-parse", "--verify", "--quiet", f"{commit}:{path}"):
            yield GIT, in_git
        elif (objects := tracked(places, path, commit)) is not None:
            # What the cache lacks may come from a remote.
            is_whole = objects and all(own.is_file() for own in objects.values())
            yield DVC, (lambda name: places.digest_of(objects[name]) if name in objects else None) if is_whole else None
    if folder.is_dir():
        yield FOLDER, lambda name: digest_in(places, folder, name)


def digest_in(places: Places, folder: Path, name: str) -> str | None:
    """SHA-256 of a file of a folder; None where there is none."""
    return places.digest_of(folder / name) if (folder / name).is_file() else None


def compared(wanted: Mapping[str, str], digest: Callable[[str], str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that are missing, and those whose content is another."""
    found = {name: digest(name) for name in wanted}
    missing = tuple(name for name, own in found.items() if own is None)
    return missing, tuple(name for name, own in found.items() if own not in (None, wanted[name]))


def told(missing: tuple[str, ...], changed: tuple[str, ...], wanted: Mapping[str, str]) -> str:
    """How many files of a list are missing or changed, and the first of them."""
    counted = [(missing, "missing"), (changed, "changed")]
    return ", ".join(
        f"{len(names)} of {len(wanted)} files {what} (first: {names[0]})" for names, what in counted if names
    )
