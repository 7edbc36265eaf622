"""Where a model came from: the record beside every model file, and the check that both are whole.

A record names its parents, corpus, parameters and code by digest and nothing that changes between two runs of
the same thing (no time, host, run or commit), so that the same inputs give the same bytes. It repeats the records of
all its ancestors and corpora: one file alone tells its whole descent.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diminuendo.artifact.checksum import MODEL
from diminuendo.artifact.code import Scope
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, sha256_of, write_json

FORMAT = 2
RECORD = "lineage.json"
LABEL, LABELS = "label", "labels.jsonl"  # a stage that makes no model, and its product: texts to learn from
RAW = "sources.json"  # in a prepared corpus: the digest of every raw file that it was made from

# What a record says of its ancestors: all but their own ancestors, which stand beside them, and their files.
OWN_KEYS = ("stage", "name", "parameters", "code", "corpus", "parents")
WITHOUT = "without"  # modules that ``code`` does not cover, as the settings do not use them; absent: none
PRETRAINED = "pretrained"  # the checkpoint that a model began with; absent: none
CONVERTED = "diminuendo.converted"  # metadata of a file for other runtimes: the digest of the one it says the same as
KINDS = "kinds"  # of the models that were built; absent: ``code`` covers all that there were


def record(
    stage: str,
    name: str,
    parameters: dict[str, Any],
    *,
    code: str,
    corpus: str,
    parents: dict[str, str],
    ancestors: dict[str, Any] | None = None,
    corpora: dict[str, Any] | None = None,
    training: str | None = None,
    without: Iterable[str] = (),
    kinds: Iterable[str] = (),
    pretrained: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The lineage of a model without the digests of its own files, as it also stands in the ONNX metadata.

    Args:
        parents: name to digest of the models that it was made from.
        ancestors: digest to record (``OWN_KEYS``) of its parents, their parents, and so on; see ``ancestors_of``.
        corpora: digest to summary (``corpus_summary``) of its own corpus and its ancestors'.
        training: digest of all that trained weights depend on; None where nothing is trained.
        without: modules of the stage that ``code`` does not cover.
        kinds: of the models that the stage builds.
        pretrained: the checkpoint that it began with: source, revision, licence and the SHA-256 of every file.
    """
    return {
        "format": FORMAT,
        "stage": stage,
        "name": name,
        "parameters": parameters,
        "code": code,
        "corpus": corpus,
        "parents": parents,
        "ancestors": ancestors or {},
        "corpora": corpora or {},
        **({"training": training} if training else {}),
        **({WITHOUT: _by_package(without)} if without else {}),
        **({KINDS: list(kinds)} if kinds else {}),
        **({PRETRAINED: pretrained} if pretrained else {}),
    }


def own_part(record: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the model itself, as it stands among the ancestors of a child."""
    told = (WITHOUT, KINDS, PRETRAINED)
    return {key: record[key] for key in OWN_KEYS} | {key: record[key] for key in told if key in record}


def product_of(stage: str) -> str:
    """The file whose digest names what a stage made that others are made from."""
    return LABELS if stage == LABEL else MODEL


def scope_of(record: dict[str, Any]) -> Scope:
    """What the digest ``code`` of a record covers."""
    kinds = record.get(KINDS)
    modules = (f"{package}.{module}" for package, names in record.get(WITHOUT, {}).items() for module in names)
    return Scope(record["stage"], tuple(modules), None if kinds is None else tuple(kinds))


def digest_of_checkpoint(facts: dict[str, Any]) -> str:
    """One digest for what ``PRETRAINED`` says: over the names and digests of the checkpoint's files."""
    return digest_of_json(facts["files"])


def _by_package(modules: Iterable[str]) -> dict[str, list[str]]:
    """Package to its modules: the record is in the shipped file, where full names would take four times as many."""
    found: dict[str, list[str]] = {}
    for module in sorted(modules):
        package, _, name = module.rpartition(".")
        found.setdefault(package, []).append(name)
    return found


def ancestors_of(parents: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``ancestors`` and ``corpora`` of a child of these whole records."""
    ancestors: dict[str, Any] = {}
    corpora: dict[str, Any] = {}
    for whole in parents:
        ancestors |= whole["ancestors"] | {whole["files"][product_of(whole["stage"])]: own_part(whole)}
        corpora |= whole["corpora"]
    return ancestors, corpora


def corpus_summary(corpus: dict[str, Any]) -> dict[str, Any]:
    """What a record says of a corpus, from its ``corpus.json``: ``raw`` is the digest of the list of its raw files."""
    summary = {
        key: corpus[key] for key in ("source", "sample_rate", "parameters", "splits", "unicode") if key in corpus
    }
    raw = corpus.get("files", {}).get(RAW)
    return {**summary, **({"raw": raw} if raw else {})}


def write_record(folder: Path, lineage: dict[str, Any]) -> dict[str, Any]:
    """Write ``lineage.json`` over all files in ``folder``; ``digest`` covers the rest of the record."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    whole = {**lineage, "files": {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}}
    whole["digest"] = digest_of_json(whole)
    write_json(folder / RECORD, whole)
    return whole


def verified_record(folder: Path) -> dict[str, Any]:
    """Read ``lineage.json`` and check every file that it names, before anything of the model is loaded.

    Raises:
        UserError: the record or a file is missing, truncated or changed; the message names it.
    """
    path = folder / RECORD
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        stated = {key: value for key, value in whole.items() if key != "digest"}
        files = dict(whole["files"])
        intact = whole["digest"] == digest_of_json(stated)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {_remedy(folder)}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a lineage record ({error}); {_remedy(folder)}") from None
    if not intact:
        raise UserError(f"{path}: changed since it was written; {_remedy(folder)}")
    if whole["format"] != FORMAT:
        raise UserError(
            f"{path}: format {whole['format']!r}, expected {FORMAT}; remove {folder} and run "
            f"{repro(folder, force=True)}"
        )
    for name, expected in sorted(files.items()):
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise UserError(f"{path}: names {ascii(name)[:100]}, which is no file in its folder; {_remedy(folder)}")
        verify_file(folder / name, expected, _remedy(folder))
    return whole


def verify_file(path: Path, expected: str, remedy: str) -> None:
    """Raise a ``UserError`` that names the file unless its SHA-256 is ``expected``."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: a pipe, a device or a folder, expected a file; {remedy}")
        found = sha256_of(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing, though its lineage names it; {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    if found != expected:
        raise UserError(
            f"{path}: damaged: its SHA-256 is {found[:12]}…, its lineage says {expected[:12]}… "
            f"({path.stat().st_size} bytes); {remedy}"
        )


def _remedy(folder: Path) -> str:
    # DVC checks a damaged cache object out without a word: removing the workspace's copy may not be enough.
    return f"remove {folder} and run `dvc checkout`, or, if that brings it back, {repro(folder, force=True)}"
