"""The model that comes with the package: whole, small, and what its pages say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from diminuendo.artifact.checksum import is_damaged, stated_checksum
from diminuendo.artifact.external_data import mapped
from diminuendo.artifact.wire import metadata_in
from diminuendo.bundled import MODEL, WORDS, is_bundled, split_model
from diminuendo.core.files import sha256_of
from diminuendo.demo.samples import FOLDER, SAMPLES
from diminuendo.runtime import Recognizer
from tests.factories.project import ROOT

LARGEST = 600_000  # bytes


def test_it_is_whole_small_and_named_by_its_digest_in_the_docs():
    digest = sha256_of(MODEL)
    assert MODEL.stat().st_size <= LARGEST and not is_damaged(MODEL)
    with mapped(MODEL) as content:
        assert stated_checksum(content)
    for page in (MODEL.parent / "README.md", ROOT / "docs" / "demo.md"):
        text = page.read_text(encoding="utf-8")
        assert digest in text and f"{MODEL.stat().st_size:,}" in text, page


def test_its_lineage_leads_to_the_corpus():
    with mapped(MODEL) as content:
        record = json.loads(metadata_in(content)["diminuendo.lineage"])
    parent = record["ancestors"][record["parents"]["slim"]]
    teacher = record["ancestors"][parent["parents"]["teacher"]]
    assert (record["name"], parent["name"], teacher["name"]) == ("slim-mixed", "slim", "teacher")
    assert record["corpora"][record["corpus"]]["splits"]["train"]["speakers"] == 4


def texts_in(value) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from texts_in(part)
    elif isinstance(value, str):
        yield value


def test_its_record_names_no_place_on_the_machine_that_made_it():
    with mapped(MODEL) as content:
        told = list(texts_in(json.loads(metadata_in(content)["diminuendo.lineage"])))
    assert len(told) > 100 and not [text for text in told if text.startswith(("/", "~", "file:"))]


def test_it_can_write_every_word_that_it_is_said_to_know():
    tokens = Recognizer(MODEL, threads=1).model.tokens
    letters = set("".join(tokens))
    assert all(set(word) <= letters for word in WORDS)


def test_what_it_hears_in_the_samples():
    recognizer = Recognizer(MODEL, threads=1)
    heard = {sample.file: recognizer.transcribe(sample.path).text for sample in SAMPLES}
    said = {sample.file: sample.said for sample in SAMPLES}
    assert heard == said | {"e.flac": "two four one eight two six"}  # the page shows these mistakes


def test_the_samples_are_small_and_each_has_its_source_beside_it():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert files == {sample.file for sample in SAMPLES}
    assert all(f"`{name}`" in readme for name in files) and "CC BY-SA 4.0" in readme
    assert sum((FOLDER / name).stat().st_size for name in files) < 100_000


def test_a_model_is_told_from_recordings_by_its_name(tmp_path):
    assert split_model(("a.onnx", "b.wav")) == ("a.onnx", ("b.wav",))
    assert split_model(("A.ONNX",)) == ("A.ONNX", ())
    assert split_model(("a.wav", "b.onnx")) == (None, ("a.wav", "b.onnx"))
    assert split_model((str(tmp_path), "b.wav")) == (str(tmp_path), ("b.wav",))
    assert split_model(("-",)) == (None, ("-",))
    assert split_model(("no-such-member", "b.wav")) == ("no-such-member", ("b.wav",))
    assert is_bundled(MODEL) and is_bundled(Path(MODEL.parent, "..", "bundled", MODEL.name))
    assert not is_bundled(tmp_path / MODEL.name)
