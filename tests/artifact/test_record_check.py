"""What a file of a stranger states of its descent."""

from __future__ import annotations

import copy
import json
import time

import pytest

from diminuendo.artifact.checksum import KEY
from diminuendo.artifact.external_data import mapped
from diminuendo.artifact.record_check import check_parts, check_record
from diminuendo.artifact.wire import METADATA, external_locations, header, metadata_in
from diminuendo.bundled import MODEL
from diminuendo.provenance.branches import branches_of
from diminuendo.provenance.descent import descent_of, read_record
from diminuendo.provenance.picture import mermaid
from diminuendo.provenance.trace import Trace


@pytest.fixture(scope="module")
def real():
    return read_record(MODEL)


def test_a_real_record_passes_as_it_is(real):
    assert check_record(copy.deepcopy(real)) == real
    with mapped(MODEL) as content:
        assert KEY in metadata_in(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("parents", [1]),
        ("parents", {"a": 1}),
        ("parents", {f"p{n}": "0" * 64 for n in range(50)}),
        ("parameters", "x"),
        ("parameters", {"losses": []}),
        ("corpus", None),
        ("stage", "../../etc/passwd"),
        ("stage", None),
        ("name", "\x1b[2J"),
        ("name", ""),
        ("code", 1),
        ("without", {"a/b": ["c"]}),
        ("kinds", "conformer"),
        ("pretrained", {"source": "x", "licence": "y"}),
        ("pretrained", {"source": "x", "licence": "y", "files": {"a": None}}),
        ("corpora", {"0" * 64: {"splits": {"test": {"utterances": "many", "seconds": 1, "speakers": 1}}}}),
        ("corpora", {"0" * 64: {"splits": {"test": {}}}}),
        ("ancestors", {"0" * 64: None}),
        ("ancestors", {"0" * 64: {"stage": "x"}}),
        ("ancestors", {f"{n:064x}": {} for n in range(1000)}),
        ("name", json.loads("[" * 60 + "]" * 60)),
    ],
)
def test_what_no_record_holds_is_refused(real, key, value):
    with pytest.raises(ValueError, match="lineage"):
        check_record({**real, key: value})


@pytest.mark.parametrize("key", ["stage", "name", "parameters", "code", "corpus", "parents", "ancestors", "corpora"])
def test_a_record_without_a_key_is_refused_where_all_of_it_is_needed(real, key):
    less = {name: value for name, value in real.items() if name != key}
    with pytest.raises(ValueError, match=f"no '{key}'"):
        check_record(less)
    check_parts(less)


def diamonds(real, generations: int):
    """Two parents in each generation, each with the same two parents: ways double with every generation."""
    own = {key: real[key] for key in ("stage", "name", "parameters", "code", "corpus")}
    ancestors = {}
    for generation in range(generations):
        older = {side: f"{generation + 1}-{side}" for side in "ab"} if generation + 1 < generations else {}
        for side in "ab":
            ancestors[f"{generation}-{side}"] = {**own, "parents": older}
    return {**real, "parents": {"a": "0-a", "b": "0-b"}, "ancestors": ancestors}


def test_ancestors_are_walked_once_however_many_ways_lead_to_them(real):
    begin = time.monotonic()
    model = descent_of(check_record(diamonds(real, 45)), "f" * 64)
    assert len(model.chain()) == 91 and model.chain()[-1] is model
    assert model == descent_of(diamonds(real, 45), "f" * 64) and len(repr(model)) < 100_000
    branches_of(Trace(model, {}, {}, frozenset(), ()))
    mermaid(model)
    assert time.monotonic() - begin < 5


def test_a_circle_of_ancestors_ends(real):
    record = diamonds(real, 3)
    record["ancestors"]["2-a"]["parents"] = {"back": "0-a"}
    model = descent_of(check_record(record), "f" * 64)
    assert {one.digest for one in model.chain()} == {"f" * 64, *record["ancestors"]}


def test_a_message_of_very_many_fields_is_refused(monkeypatch):
    from diminuendo.artifact import wire

    monkeypatch.setattr(wire, "MOST_FIELDS", 1000)
    content = header(METADATA, 0) * 2000
    with pytest.raises(ValueError, match="more than 1,000 fields"):
        metadata_in(content)
    with pytest.raises(ValueError, match="more than 1,000 fields"):
        external_locations(content + b"location")
