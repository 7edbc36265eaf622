"""Which texts a member that is pruned along written ones learns."""

import json

import pytest

from diminuendo.artifact.lineage import LABELS
from diminuendo.compression.label_pruning.config import LabelPruneConfig
from diminuendo.compression.label_pruning.description import in_words
from diminuendo.compression.label_pruning.technique import learned_from
from diminuendo.core.errors import UserError
from diminuendo.data.prepare import prepare
from diminuendo.data.prepared import PreparedCorpus
from stages.prepare import corpus_settings
from tests.factories.audio import dummy_corpus, dummy_params, manifest_params
from tests.factories.whisper_vocabulary import SPELT, vocabulary_tokenizer

SETTINGS = LabelPruneConfig(**{"from": "teacher", "labels": "heard", "structured": {"parameters": 0.9}})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spelled")
    (folder / "prepared").mkdir()
    prepare(corpus_settings(manifest_params(dummy_corpus(folder / "source"))), folder / "prepared", None)
    return PreparedCorpus.open(folder / "prepared")


@pytest.fixture
def labels(tmp_path):
    texts = {"train": {"train-000": "Abc, de!", "train-001": "bad"}, "dev": {"dev-000": "A bed."}}
    lines = [
        json.dumps({"split": split, "id": name, "text": text, "log_prob": -0.1, "rejected": None})
        for split, own in texts.items()
        for name, text in own.items()
    ]
    (tmp_path / LABELS).write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def test_one_that_has_the_tokens_for_it_learns_case_and_punctuation(corpus, labels, monkeypatch):
    view = learned_from(corpus, labels, SETTINGS)
    assert [one.text for one in view.spelling(view.tokens).train] == ["abc de", "bad"]
    assert [one.text for one in view.spelling(view.tokens).dev] == ["a bed"]
    monkeypatch.setattr(PreparedCorpus, "tokenizer", vocabulary_tokenizer(SPELT))
    assert [one.text for one in learned_from(corpus, labels, SETTINGS).train] == ["Abc, de!", "bad"]


def test_the_corpus_own_texts_are_learned_beside_them_if_asked_for(corpus, labels):
    own = len(corpus.split("train"))
    view = learned_from(corpus, labels, SETTINGS.model_copy(update={"real_texts": True}))
    assert len(view.train) == own + 2


def test_texts_that_nobody_writes_are_told():
    keys = {"from": "teacher", "labels": "nothing", "structured": {"heads": 0.5}}
    with pytest.raises(UserError, match=r"prune_on_labels\.pruned\.labels: there is no entry 'nothing' in the section"):
        dummy_params(**{"prune_on_labels": {"pruned": keys}})


def test_it_is_described_with_its_texts():
    assert in_words(SETTINGS) == "prune to 90 % with the texts of heard"
