"""``diminuendo trace``: the whole ancestry of a model, down to the raw data, and where its files and runs are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.artifact.code import Scope
from diminuendo.provenance.checkpoint import folder_at_hand
from diminuendo.provenance.descent import Corpus, Model
from diminuendo.provenance.dvc_cache import Entry
from diminuendo.provenance.history import commit_with
from diminuendo.provenance.places import Places
from diminuendo.provenance.store import Run


@dataclass(frozen=True)
class Found:
    """What was found for one digest; None where nothing was found."""

    folder: str | None
    run: Run | None
    commit: str | None
    entry: Entry | None
    cached: bool


@dataclass(frozen=True)
class Trace:
    """A model, and what was found for every digest in its ancestry.

    Attributes:
        raw: digest of a corpus to the content of its ``sources.json``, if that was found.
        looked_at: which of ``mlflow`` and ``dvc`` were available.
        notes: what could not be checked, and why.
        checkpoints: digest of a pretrained checkpoint to its folder, if one is there; its files are not hashed.
    """

    model: Model
    found: dict[str, Found]
    raw: dict[str, dict[str, Any]]
    looked_at: frozenset[str]
    notes: tuple[str, ...]
    checkpoints: dict[str, str] = field(default_factory=dict)


def trace(model: Model, places: Places) -> Trace:
    """Look up the whole ancestry of the model."""
    chain, corpora = model.chain(), model.corpora()
    runs = places.store.runs([m.digest for m in chain] + [c.digest for c in corpora])
    found = {m.digest: _found_model(m, places, runs.get(m.digest)) for m in chain}
    found |= {c.digest: _found_corpus(c, places, runs.get(c.digest)) for c in corpora}
    raw = {c.digest: content for c in corpora if (content := places.raw_files(c.digest, c.raw)) is not None}
    begun = [m for m in chain if m.checkpoint is not None]
    folders = {
        m.checkpoint.digest: str(folder.resolve()) for m in begun if (folder := folder_at_hand(places, m)) is not None
    }
    return Trace(model, found, raw, places.available, tuple(places.notes), folders)


def _found_model(model: Model, places: Places, run: Run | None) -> Found:
    stored = places.stored_model(model)
    folder = places.model_folder(model.digest)
    entry = stored.entry if stored else places.locked(folder) if folder else None
    code = {lineage.scope_of(model.record): model.record["code"]} if model.record else {}
    return Found(places.shown(folder), run, _commit(places, code, run, entry), entry, stored is not None)


def _found_corpus(corpus: Corpus, places: Places, run: Run | None) -> Found:
    stored = places.stored_corpus(corpus.digest)
    folder = places.corpus_folder(corpus.digest)
    code = run.covered if run else {}
    entry = stored.entry if stored else None
    return Found(places.shown(folder), run, _commit(places, code, run, entry), entry, stored is not None)


def _commit(places: Places, code: dict[Scope, str], run: Run | None, entry: Entry | None) -> str | None:
    """The commit whose ``dvc.lock`` names the result, or that the run noted, if it has this code; else one that has.

    If no commit has the code, it is the commit that the run noted, unchecked.
    """
    named = next((e.commit for e in places.cache.commits_with(entry.path, entry.md5)), None) if entry else None
    noted = [commit for commit in (named, run and run.commit) if commit]
    if places.project is None or not code:
        return noted[0] if noted else None
    return commit_with(places.project, code, noted) or (noted[0] if noted else None)
