"""The ancestry as branches with a title and facts: one form for the terminal, for pages and for JSON."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.labelling.description import stated
from diminuendo.provenance.descent import Checkpoint, Corpus, Model
from diminuendo.provenance.dvc_cache import Entry
from diminuendo.provenance.trace import Found, Trace
from diminuendo.tracking.track import flat

SHORT = 12  # digits of a digest that are shown
FILES_SHOWN = 8  # raw files, or files of a checkpoint, that are listed singly


@dataclass(frozen=True)
class Branch:
    """``facts`` are pairs of a label and a text; ``seen``: it is shown in full further up."""

    kind: str  # model, checkpoint, corpus or raw
    digest: str | None
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    children: tuple[Branch, ...] = ()
    seen: bool = False


def branches_of(trace: Trace) -> Branch:
    """The tree of a trace; what two branches share is shown in full once."""
    return _model(trace.model, trace, set())


def _model(model: Model, trace: Trace, seen: set[str]) -> Branch:
    title = f"{model.name}  {model.digest[:SHORT]}" + (f"  {model.stage}" if model.stage else "")
    if model.digest in seen:
        return Branch("model", model.digest, title, seen=True)
    seen.add(model.digest)
    if model.record is None:
        return Branch("model", model.digest, title, (("record", "not in the file, which names the digest alone"),))
    children = [_model(parent, trace, seen) for parent in model.parents]
    if model.checkpoint is not None:
        children.append(_checkpoint(model.checkpoint, trace))
    corpus = model.corpus
    inherited = any(corpus.digest == c.digest for parent in model.parents for c in parent.corpora())
    if not inherited:
        children.append(_corpus(corpus, trace, seen))
    facts = (
        ("digest", model.digest),
        *_settings(model),
        ("corpus", corpus.digest[:SHORT]),
        ("code", model.record["code"][:SHORT] + _commit(trace.found.get(model.digest))),
        *_whereabouts(trace, model.digest),
    )
    return Branch("model", model.digest, title, facts, tuple(children))


def _checkpoint(checkpoint: Checkpoint, trace: Trace) -> Branch:
    facts, files = checkpoint.facts, checkpoint.facts["files"]
    folder = trace.checkpoints.get(checkpoint.digest)
    named = [f"{name} {digest[:SHORT]}" for name, digest in list(files.items())[:FILES_SHOWN]]
    if len(files) > FILES_SHOWN:
        named.append(f"and {len(files) - FILES_SHOWN} more; `--json` names them all")
    shown = (
        ("digest", checkpoint.digest),
        *([("revision", facts["revision"])] if "revision" in facts else []),
        ("licence", facts["licence"]),
        ("files", ", ".join(named)),
        *([("folder", folder)] if folder else []),
    )
    title = f"checkpoint  {checkpoint.digest[:SHORT]}  {facts['source']}  {len(files)} files"
    return Branch("checkpoint", checkpoint.digest, title, shown)


def _size(split: dict[str, Any]) -> str:
    def counted(what: str) -> str:
        return f"{split[what]} {what.removesuffix('s') if split[what] == 1 else what}"

    return f"{counted('utterances')}, {split['seconds'] / 60:.1f} minutes, {counted('speakers')}"


def _corpus(corpus: Corpus, trace: Trace, seen: set[str]) -> Branch:
    source = corpus.facts.get("source")
    title = f"corpus  {corpus.digest[:SHORT]}" + (f"  {source}" if source else "")
    if corpus.digest in seen:
        return Branch("corpus", corpus.digest, title, seen=True)
    seen.add(corpus.digest)
    sizes = [(split, _size(facts)) for split, facts in corpus.facts.get("splits", {}).items()]
    found = trace.found.get(corpus.digest)
    code = found.run.code if found and found.run else None
    facts = (
        ("digest", corpus.digest),
        *([("settings", _line(corpus.facts["parameters"]))] if corpus.facts.get("parameters") else []),
        *sizes,
        *([("code", code[:SHORT] + _commit(found))] if code else []),
        *_whereabouts(trace, corpus.digest),
    )
    return Branch("corpus", corpus.digest, title, facts, (_raw(corpus, trace),))


def _raw(corpus: Corpus, trace: Trace) -> Branch:
    content = trace.raw.get(corpus.digest)
    if content is None:
        known = f"list of digest {corpus.raw[:SHORT]}, not at hand" if corpus.raw else "not stated"
        return Branch("raw", corpus.raw, f"raw data  {known}")
    files = [(f"{folder}: {name}", digest) for folder, own in content["files"].items() for name, digest in own.items()]
    facts = [(name, digest) for name, digest in files[:FILES_SHOWN]]
    if len(files) > FILES_SHOWN:
        facts.append(("and", f"{len(files) - FILES_SHOWN} more; `--json` names them all"))
    if content.get("made_by"):
        facts.insert(0, ("spoken by", content["made_by"]))
    return Branch("raw", corpus.raw, f"raw data  {corpus.raw[:SHORT]}  {len(files)} files", tuple(facts))


def _settings(model: Model) -> Iterator[tuple[str, str]]:
    """Own settings on one line, and on another the training settings that differ from those of the first parent."""
    parameters = model.record["parameters"]
    own = {key: value for key, value in parameters.items() if key not in ("training", "frontend")}
    own["losses"] = {key: value for key, value in own.get("losses", {}).items() if value != 0}
    if model.stage == lineage.LABEL:
        own = stated(own)
    yield "settings", _line(own)
    if parameters.get("frontend") and not model.parents:
        yield "features", _line(parameters["frontend"])
    if not (training := flat(parameters.get("training", {}))):
        return
    parent = next((p for p in model.parents if p.record and p.record["parameters"].get("training")), None)
    inherited = flat(parent.record["parameters"]["training"]) if parent else {}
    changed = _line({key: value for key, value in training.items() if inherited.get(key) != value})
    prefix = f"as {parent.name}" + (", but " if changed else "") if parent else ""
    yield "training", prefix + changed


def _line(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in flat(values).items())


def _commit(found: Found | None) -> str:
    if found is None or found.commit is None:
        return ""
    unsure = found.run is not None and found.run.dirty and found.run.commit == found.commit
    return f", commit {found.commit[:SHORT]}" + (" (with other changes in the working tree)" if unsure else "")


def _whereabouts(trace: Trace, digest: str) -> Iterator[tuple[str, str]]:
    found = trace.found.get(digest)
    if found is None:
        return
    if found.run:
        when = datetime.fromtimestamp(found.run.started / 1000, UTC)
        yield "run", f"{found.run.id} ({found.run.name}, {when:%Y-%m-%d %H:%M} UTC, {found.run.status})"
    elif "mlflow" in trace.looked_at:
        yield "run", "none of this digest in MLflow"
    if found.entry:
        place = f" of commit {found.entry.commit[:SHORT]}" if found.entry.commit else ""
        cached = "in the cache" if found.cached else "its objects are not in the cache"
        lock = posixpath.join(found.entry.home, "dvc.lock")
        yield "DVC", f"{found.entry.stage} in {lock}{place}, {found.entry.md5}, {cached}"
    elif "dvc" in trace.looked_at:
        yield "DVC", "no dvc.lock at hand is known to name it"
    if found.folder:
        yield "folder", found.folder


def _named(entry: Entry) -> dict[str, Any]:
    return {key: getattr(entry, key) for key in ("stage", "path", "md5", "commit", "home")}


def as_dict(trace: Trace) -> dict[str, Any]:
    """The whole trace, for ``--json``: models and corpora by digest, joined by ``parents`` and ``corpus``.

    What a model that began with a checkpoint says of it stands under ``pretrained``; ``checkpoints`` tells where that
    is at hand, by its digest.
    """

    def known(digest: str) -> dict[str, Any]:
        found = trace.found.get(digest)
        if found is None:
            return {}
        return {
            "folder": found.folder,
            "commit": found.commit,
            "run": None if found.run is None else {**vars(found.run), "scope": vars(found.run.scope)},
            "dvc": None if found.entry is None else {**_named(found.entry), "cached": found.cached},
        }

    chain = trace.model.chain()
    return {
        "digest": trace.model.digest,
        "models": {m.digest: {"name": m.name, **(m.record or {}), **known(m.digest)} for m in reversed(chain)},
        "corpora": {
            c.digest: {**c.facts, "sources": trace.raw.get(c.digest), **known(c.digest)} for c in trace.model.corpora()
        },
        "checkpoints": {
            m.checkpoint.digest: {**m.checkpoint.facts, "folder": trace.checkpoints.get(m.checkpoint.digest)}
            for m in chain
            if m.checkpoint is not None
        },
        "notes": list(trace.notes),
    }
