"""A corpus in the tokens of a checkpoint: what prepare makes of it, and what collecting lets in."""

import json

import pytest

from diminuendo.collection.batches import arrived
from diminuendo.collection.collect import collect
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.pretrained.checkpoint import opened
from stages.prepare import corpus_settings
from tests.factories import transformer  # noqa: F401  registers the family
from tests.factories.audio import dummy_corpus, manifest_params, prepare_corpus, read_manifest, write_manifest
from tests.factories.checkpoint import change, write_checkpoint, write_sentencepiece
from tests.factories.incoming import make_batch


@pytest.fixture
def place(tmp_path):
    opened.cache_clear()
    dummy_corpus(tmp_path / "source")
    write_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "collected").mkdir()
    return tmp_path


def params_of(place, **changes):
    ours = {
        "data.collected": str(place / "collected"),
        "text.units": "checkpoint",
        "teacher": {"pretrained": {"path": str(place / "checkpoint")}},
        **{key: {} for key in FAMILY_SECTIONS},
    }
    return manifest_params(place / "source", **{**ours, **changes})


def prepared(place, **changes):
    out = place / "prepared"
    out.mkdir()
    prepare_corpus(params_of(place, **changes), out, workers=1, say=lambda _line: None, report=place / "problems.txt")
    return PreparedCorpus.open(out)


def edit(path, index, **keys):
    lines = read_manifest(path)
    lines[index].update(keys)
    write_manifest(path, lines)


def test_it_is_in_the_checkpoints_tokens(place):
    corpus = prepared(place)
    assert corpus.tokens == ["<blank>", "▁", "a", "b", "c", "d", "e", "<special:unk>"]
    text = corpus.train[0].text
    assert corpus.tokenizer.decode(corpus.tokenizer.encode(text)) == text


def test_frames_are_those_of_the_checkpoint(place):
    assert corpus_settings(params_of(place)).frame_seconds == 0.04
    change(place / "checkpoint/config.json", stride=8)
    opened.cache_clear()
    assert corpus_settings(params_of(place)).frame_seconds == 0.16
    with pytest.raises(UserError, match="train has no utterances left"):
        prepared(place, **{"text.units": "checkpoint"})


def test_subwords_of_a_sentencepiece_model_are_stored_with_the_corpus(place):
    folder = place / "subwords"
    size = write_sentencepiece(write_checkpoint(folder, vocabulary=None, vocab_size=21, pad_token_id=20))
    corpus = prepared(place, teacher={"pretrained": {"path": str(folder)}})
    assert len(corpus.tokens) == size + 1 and (corpus.folder / "tokenizer.model").is_file()
    assert corpus.tokenizer.decode(corpus.tokenizer.encode("a bad cab")) == "a bad cab"


def test_test_may_hold_what_train_does_not_and_the_checkpoint_does(place):
    """No token is learned from train, so none is missing where train lacks a letter."""
    lines = [line for line in read_manifest(place / "source/train.jsonl") if "e" not in line["text"]]
    write_manifest(place / "source/train.jsonl", lines)
    assert any("e" in line["text"] for line in read_manifest(place / "source/test.jsonl"))
    corpus = prepared(place)
    assert not any("e" in u.text for u in corpus.train) and any("e" in u.text for u in corpus.test)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_what_the_checkpoint_cannot_write_is_refused_in_every_split(place, split):
    edit(place / f"source/{split}.jsonl", 0, text="ab faß")
    with pytest.raises(UserError, match="not in the checkpoint's vocabulary; normalise such text away"):
        prepared(place)


def test_a_corpus_of_another_rate_says_so_before_it_is_read(place):
    with pytest.raises(UserError, match=r"data\.sample_rate: 16000 Hz, and checkpoint hears 8000 Hz"):
        prepared(place, **{"data.sample_rate": 16000})


def test_a_tokenizer_that_fails_its_head_ends_prepare(place):
    change(place / "checkpoint/vocab.json", zz=40)
    with pytest.raises(UserError, match="does not fit the head, which has 8 outputs"):
        prepared(place)


def test_collecting_lets_in_what_the_checkpoint_can_write(place):
    changes = {"retrain.test_fraction": 0.5, "retrain.dev_fraction": 0.0}
    corpus = prepared(place, **changes)
    batch = make_batch(place / "incoming/week1", 8, tuple(f"new-{i}" for i in range(8)))
    for index, text in {0: "ab cafe", 1: "ab xyz", 2: "ab xyz", 3: "ab xyz"}.items():
        edit(batch / "manifest.jsonl", index, text=text)
    params = params_of(place, **changes, **{"retrain.quarantine_limit": 0.9})
    arguments = params, place / "collected", place / "quarantine", corpus.folder, lambda _line: None
    outcome = collect(arrived(place / "incoming"), *arguments)
    problems = read_manifest(place / "quarantine/week1/records/problems.jsonl")
    assert [problem["line"] for problem in problems] == [1, 2, 3, 4]  # in train as well: prepare would refuse it
    assert {problem["kind"] for problem in problems} == {"outside the vocabulary"}
    assert "not in the checkpoint's vocabulary" in json.dumps(problems)
    assert sum(outcome.added[0]["records"].values()) == 4


def test_collecting_lets_in_what_both_the_checkpoint_and_the_students_can_write(place):
    changes = {"retrain.test_fraction": 0.99, "retrain.dev_fraction": 0.0, "text.units": "characters"}
    for split in ("train", "dev", "test"):
        lines = [line for line in read_manifest(place / f"source/{split}.jsonl") if "e" not in line["text"]]
        write_manifest(place / f"source/{split}.jsonl", lines)
    corpus = prepared(place, **changes)
    assert "e" not in corpus.tokens and (corpus.folder / "checkpoint" / "tokens.json").is_file()
    batch = make_batch(place / "incoming/week1", 8, tuple(f"new-{i}" for i in range(8)))
    for index, text in enumerate(["ab xyz", "ab bed", *["ab cab"] * 6]):
        edit(batch / "manifest.jsonl", index, text=text)
    params = params_of(place, **changes, **{"retrain.quarantine_limit": 0.9})
    arguments = params, place / "collected", place / "quarantine", corpus.folder, lambda _line: None
    outcome = collect(arrived(place / "incoming"), *arguments)
    problems = read_manifest(place / "quarantine/week1/records/problems.jsonl")
    assert [problem["line"] for problem in problems] == [1, 2]
    assert "not in the checkpoint's vocabulary" in json.dumps(problems[0])
    assert "in no text of train" in json.dumps(problems[1])
    assert sum(outcome.added[0]["records"].values()) == 6
