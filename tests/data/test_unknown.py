"""Characters of dev and test that no text of train has."""

import json

import pytest

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from tests.factories.audio import dummy_corpus, manifest_params, prepare_corpus, read_manifest, write_manifest


@pytest.fixture
def source(tmp_path):
    folder = dummy_corpus(tmp_path / "source")
    for split, text in (("dev", "dad zéb"), ("test", "zab é  cab z")):
        lines = read_manifest(folder / f"{split}.jsonl")
        lines[0]["text"] = text
        write_manifest(folder / f"{split}.jsonl", lines)
    return folder


def prepared(source, **changes):
    out = source.with_name(f"out{len(list(source.parent.iterdir()))}")
    out.mkdir()
    said = []
    params = manifest_params(source, **changes)
    prepare_corpus(params, out, workers=1, say=said.append, report=source.parent / "problems.txt")
    return PreparedCorpus.open(out), said


def test_they_are_an_error_unless_it_is_said_otherwise(source):
    for changes in ({}, {"text.unknown": "error"}):
        with pytest.raises(UserError, match="2 × outside the vocabulary") as raised:
            prepared(source, **changes)
        assert "text.unknown: replace or drop goes on without it" in str(raised.value)


def test_replaced_they_are_errors_in_test_and_left_out_of_dev(source):
    corpus, said = prepared(source, **{"text.unknown": "replace"})
    assert corpus.test[0].text == "�ab � cab �" and corpus.dev[0].text == "dad b"
    corpus.tokenizer.encode(corpus.dev[0].text)  # as training does
    assert len(corpus.test) == 4 and len(corpus.dev) == 4
    assert json.loads((corpus.folder / "unknown.json").read_text()) == {
        "dev": {"z": 1, "é": 1},
        "test": {"z": 2, "é": 1},
    }
    assert (
        "test: 3 character(s) in 1 utterance(s) replaced by � (text.unknown: replace), as no model can write them: "
        "'z' (U+007A), 'é' (U+00E9)"
    ) in said
    assert any(line.startswith("dev: 2 character(s) in 1 utterance(s) left out") for line in said)


def test_dropped_they_are_left_out_of_both(source):
    corpus, said = prepared(source, **{"text.unknown": "drop"})
    assert corpus.test[0].text == "ab cab" and corpus.dev[0].text == "dad b"
    assert any(line.startswith("test: 3 character(s) in 1 utterance(s) left out") for line in said)


def test_a_text_of_which_nothing_is_left_is_an_error(source):
    lines = read_manifest(source / "test.jsonl")
    lines[0]["text"] = "zz"
    write_manifest(source / "test.jsonl", lines)
    with pytest.raises(UserError, match=r"test.jsonl:1: text 'zz': nothing is left of it"):
        prepared(source, **{"text.unknown": "drop"})
    assert prepared(source, **{"text.unknown": "replace"})[0].test[0].text == "��"


def test_a_corpus_without_them_is_the_same_whatever_is_said(tmp_path):
    source = dummy_corpus(tmp_path / "plain")
    plain, _ = prepared(source)
    assert prepared(source, **{"text.unknown": "error"})[0].digest == plain.digest
    replaced, said = prepared(source, **{"text.unknown": "replace"})
    own = {name: digest for name, digest in replaced.summary["files"].items()}
    assert own == plain.summary["files"] and not any("unknown" in line for line in said)
    assert "unknown" not in plain.summary["parameters"]["text"]
