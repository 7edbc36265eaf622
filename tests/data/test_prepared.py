import json

import numpy as np
import pytest
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.data import prepared as module
from diminuendo.data.prepared import PreparedCorpus, ShardWriter, write_corpus
from diminuendo.data.text import CharacterTokenizer, VocabularyTokenizer
from tests.factories.audio import dummy_prepared


@pytest.fixture
def corpus(tmp_path):
    return dummy_prepared(tmp_path / "prepared")


def test_opening_verifies_every_file(corpus):
    PreparedCorpus.open(corpus)
    path = corpus / "audio" / "dev-000.wav"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"audio/dev-000.wav was changed; run the prepare stage again"):
        PreparedCorpus.open(corpus)
    PreparedCorpus.open(corpus, verify=False)
    path.unlink()
    (corpus / "train.jsonl").write_text("")
    with pytest.raises(UserError, match=r"dev-000.wav is missing; train.jsonl was changed"):
        PreparedCorpus.open(corpus)


def test_an_edited_summary_is_refused(corpus):
    path = corpus / "corpus.json"
    summary = json.loads(path.read_text())
    summary["splits"]["test"]["utterances"] = 9
    path.write_text(json.dumps(summary))
    with pytest.raises(UserError, match="does not match its digest"):
        PreparedCorpus.open(corpus, verify=False)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "{bad"])
def test_what_is_no_corpus_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(UserError, match=r"not a prepared corpus.*make repro ARGS='prepare'"):
        PreparedCorpus.open(tmp_path)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_shards_are_found_again_to_the_sample(tmp_path, monkeypatch, rate):
    monkeypatch.setattr(module, "SHARD_SECONDS", 3.0)
    rng = np.random.default_rng(0)
    sounds = [rng.integers(-9000, 9000, rng.integers(rate // 3, rate), dtype=np.int16) for _ in range(40)]
    sounds.append(rng.integers(-9000, 9000, 4 * rate, dtype=np.int16))  # longer than a shard should be
    writers = {split: ShardWriter(tmp_path, split, rate) for split in ("train", "dev", "test")}
    for index, sound in enumerate(sounds):
        writers["train"].add({"id": str(index), "text": "a b", "speaker": f"s{index % 3}"}, sound)
    writers["train"].drop("too loud")
    summary = write_corpus(tmp_path, writers, CharacterTokenizer.train(["a b"]), "manifest")
    corpus = PreparedCorpus.open(tmp_path)
    assert len({u.audio_filepath for u in corpus.train}) > 5
    for utterance, sound in zip(corpus.train, sounds, strict=True):
        np.testing.assert_array_equal(corpus.audio(utterance), sound.astype(np.float32) / 32768)
    info = soundfile.info(tmp_path / corpus.train[0].audio_filepath)
    assert (info.subtype, info.channels, info.samplerate) == ("PCM_16", 1, rate)
    assert summary["splits"]["train"] == {
        "utterances": 41,
        "seconds": round(sum(map(len, sounds)) / rate, 3),
        "words": 82,
        "speakers": 3,
        "dropped": {"too loud": 1},
    }


def two_vocabularies(folder, teachers=None):
    writers = {split: ShardWriter(folder, split, 8000) for split in ("train", "dev", "test")}
    for split, writer in writers.items():
        writer.add({"id": split, "text": "ab a"}, np.ones(4000, np.int16))
    own, parameters = CharacterTokenizer.train(["ab a"]), {"text": {"lowercase": True}}
    summary = write_corpus(folder, writers, own, "manifest", parameters, teachers)
    return PreparedCorpus.open(folder), summary


def test_a_corpus_spells_its_texts_in_its_own_tokens_and_in_its_teachers(tmp_path):
    teachers = VocabularyTokenizer(["<blank>", "▁", "ab", "a", "<special:unk>"])
    corpus, _ = two_vocabularies(tmp_path, teachers)
    view = corpus.spelling(teachers.tokens)
    assert corpus.tokens == ["<blank>", "▁", "a", "b"] and view.tokens == teachers.tokens
    assert [c.tokenizer.encode(c.train[0].text) for c in (corpus, view)] == [[2, 3, 1, 2], [2, 1, 3]]
    assert corpus.spelling(corpus.tokens) is corpus and view.spelling(view.tokens) is view
    assert view.spelling(corpus.tokens).tokens == corpus.tokens
    assert (view.digest, view.sample_rate, view.lowercase) == (corpus.digest, 8000, True)
    np.testing.assert_array_equal(view.audio(view.dev[0]), corpus.audio(corpus.dev[0]))
    with pytest.raises(UserError, match=r"has no tokenizer of the 2 tokens .* run the prepare stage again"):
        corpus.spelling(["<blank>", "z"])
    (tmp_path / "checkpoint" / "tokens.json").unlink()
    with pytest.raises(UserError, match=r"checkpoint/tokens.json is missing"):
        PreparedCorpus.open(tmp_path)


def test_a_corpus_of_one_vocabulary_has_nothing_of_a_second(tmp_path):
    corpus, summary = two_vocabularies(tmp_path)
    assert not any(name.startswith("checkpoint") for name in summary["files"])
    with pytest.raises(UserError, match="has no tokenizer of the 3 tokens"):
        corpus.spelling(["<blank>", "▁", "ab"])
