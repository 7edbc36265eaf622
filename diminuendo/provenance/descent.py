"""The ancestry of a model as a tree, from the record in its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.artifact.checksum import KEY, actual_checksum, stated_checksum
from diminuendo.artifact.external_data import mapped
from diminuendo.artifact.record_check import check_record
from diminuendo.artifact.stated import read_json
from diminuendo.artifact.wire import Content, metadata_in
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of

LINEAGE = "diminuendo.lineage"


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: ``facts`` are what a record says about it; see ``lineage.corpus_summary``."""

    digest: str
    facts: dict[str, Any]

    @property
    def raw(self) -> str | None:
        """The digest of the list of its raw files."""
        return self.facts.get("raw")


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained checkpoint that a model began with: ``facts`` are its source, revision, licence and files."""

    digest: str  # over the names and digests of its files
    facts: dict[str, Any]

    @property
    def source(self) -> str:
        """Its name, and the commit of the hub if it is of one."""
        return " at ".join([self.facts["source"], *([self.facts["revision"][:12]] if "revision" in self.facts else [])])


@dataclass(frozen=True)
class Model:
    """A model and what it was made from. ``record``: its ``lineage.own_part``; None where only the digest is known."""

    digest: str
    name: str
    record: dict[str, Any] | None
    parents: tuple[Model, ...] = field(default=(), compare=False, repr=False)  # the digest tells them
    corpus: Corpus | None = None
    path: Path | None = field(default=None, compare=False)  # where it was read from

    @property
    def stage(self) -> str | None:
        return self.record["stage"] if self.record else None

    @property
    def checkpoint(self) -> Checkpoint | None:
        facts = self.record.get(lineage.PRETRAINED) if self.record else None
        return Checkpoint(lineage.digest_of_checkpoint(facts), facts) if facts else None

    def chain(self) -> list[Model]:
        """All models of the tree, ancestors first, each once."""
        found: dict[str, Model] = {}
        seen: set[str] = set()
        waiting = [(self, False)]
        while waiting:
            model, is_after_parents = waiting.pop()
            if is_after_parents:
                found.setdefault(model.digest, model)
            elif model.digest not in seen:
                seen.add(model.digest)
                waiting += [(model, True), *((parent, False) for parent in reversed(model.parents))]
        return list(found.values())

    def corpora(self) -> list[Corpus]:
        """All corpora of the tree, each once."""
        return list({m.corpus.digest: m.corpus for m in self.chain() if m.corpus is not None}.values())


def read_model(path: Path) -> Model:
    """The ancestry that a shipped file states.

    Raises:
        UserError: there is no such file, it is damaged, or it is not one of ours.
    """
    return descent_of(read_record(path), sha256_of(path), path)


def converted_from(path: Path) -> str | None:
    """The digest of the file that this one was converted from for other runtimes; None: it was not."""
    with mapped(path) as content:
        return metadata_in(content).get(lineage.CONVERTED)


def is_contradicted(content: Content) -> bool:
    """Whether a file of ours does not match its checksum, or has lost it: both mean damage."""
    stated = stated_checksum(content)
    if stated is None:
        return content.find(KEY.encode()) >= 0  # a checksum that can no longer be read
    return stated != actual_checksum(content)


def read_record(path: Path) -> dict[str, Any]:
    """The lineage in an ONNX file's metadata, which is read only if the file matches its own checksum.

    Weights are not needed for it, wherever they are.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder, expected an ONNX file; did you mean {path / lineage.MODEL}?")
    try:
        with mapped(path) as content:
            is_damaged = is_contradicted(content)
            properties = {} if is_damaged else metadata_in(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not a model of diminuendo, or a damaged one ({error})") from None
    if is_damaged:
        raise UserError(f"{path}: damaged: its content does not match the checksum that it carries; get a whole copy")
    try:
        if LINEAGE not in properties:
            raise ValueError(f"no metadata {LINEAGE}")
        record = read_json(properties[LINEAGE], "its lineage")
        if not isinstance(record, dict) or record.get("format") != lineage.FORMAT:
            found = record.get("format") if isinstance(record, dict) else record
            raise UserError(f"{path}: its lineage has format {ascii(found)[:60]}, expected {lineage.FORMAT}")
        return check_record(record)
    except ValueError as error:
        raise UserError(f"{path}: not a model of diminuendo, or a damaged one ({error})") from None


def descent_of(record: dict[str, Any], digest: str, path: Path | None = None) -> Model:
    """The tree of a complete record (from an ONNX file or a ``lineage.json``)."""
    known = {**record["ancestors"], digest: lineage.own_part(record)}
    made: dict[str, Model | None] = {}  # each once, however many ways lead to it; None while its parents are made

    def model(own: str, name: str) -> Model:
        if own in made and (before := made[own]) is not None:
            return before
        found = known.get(own)
        if found is None or own in made:  # not our record; no digest can be its own ancestor
            return Model(own, name, None)
        made[own] = None
        parents = found["parents"]
        made[own] = whole = Model(
            own,
            found["name"],
            found,
            tuple([model(parents[parent], parent) for parent in _nearest_first(found)]),
            Corpus(found["corpus"], record["corpora"].get(found["corpus"], {})),
            path if own == digest else None,
        )
        return whole

    return model(digest, record["name"])


def _nearest_first(record: dict[str, Any]) -> Iterator[str]:
    """Parents in the order of a family: the one that it was made ``from``, then its teachers."""
    origin = record["parameters"].get("from")
    yield from sorted(record["parents"], key=lambda name: (name != origin, name))
