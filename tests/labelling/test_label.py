import json

import numpy as np
import pytest

from diminuendo.artifact.lineage import LABELS
from diminuendo.labelling import label
from diminuendo.labelling.config import LabelConfig
from diminuendo.labelling.label import SUMMARY, Measure, label_corpus, read_labels, rejection


class Tones:
    """A corpus in memory: the sound of an utterance is its number."""

    def __init__(self, train=7, unlabelled=2, dev=3):
        self.counts = {"train": train, "unlabelled": unlabelled, "dev": dev}
        self.summary = {"parameters": {"text": {"lowercase": True}}}

    def split(self, name):
        return [
            Utterance(f"{name}-{n}", None if name == "unlabelled" else "so it is") for n in range(self.counts[name])
        ]

    @property
    def unlabelled(self):
        return self.split("unlabelled")

    def audio(self, utterance):
        return np.array([int(utterance.id.rpartition("-")[2])], dtype=np.float32)


class Utterance:
    def __init__(self, id, text):
        self.id, self.text = id, text


class Writer:
    """Writes the number that it hears, until it is interrupted."""

    def __init__(self, most=1000):
        self.most, self.heard = most, 0

    def scored_text(self, waveform):
        if self.heard == self.most:
            raise KeyboardInterrupt
        self.heard += 1
        return f"So it is, {waveform[0]:.0f}.", -0.1 * float(waveform[0])


def config(**keys):
    return LabelConfig(**{"from": "teacher", **keys})


def test_texts_of_every_split_but_the_test(tmp_path):
    summary = label_corpus(Writer(), Tones(), config(min_log_prob=-0.45), tmp_path, tmp_path / "work", lambda _: None)
    labels = read_labels(tmp_path)
    assert [one.split for one in labels] == ["train"] * 7 + ["unlabelled"] * 2 + ["dev"] * 3
    assert labels[3].text == "So it is, 3." and labels[3].log_prob == pytest.approx(-0.3) and labels[3].rejected is None
    assert labels[5].rejected == "unlikely"
    assert summary["train"] == {"utterances": 7, "rejected": {"unlikely": 2}}
    assert json.loads((tmp_path / SUMMARY).read_text()) == summary


def test_some_of_train_spread_over_it(tmp_path):
    label_corpus(Writer(), Tones(), config(utterances=3), tmp_path, tmp_path / "work", lambda _: None)
    assert [one.id for one in read_labels(tmp_path) if one.split == "train"] == ["train-0", "train-2", "train-4"]


def test_an_interrupted_run_hears_only_what_is_left_and_leaves_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(label, "CHUNK", 2)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    label_corpus(Writer(), Tones(), config(), tmp_path / "a", tmp_path / "work a", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        label_corpus(Writer(5), Tones(), config(), tmp_path / "b", tmp_path / "work b", lambda _: None)
    again = Writer()
    label_corpus(again, Tones(), config(), tmp_path / "b", tmp_path / "work b", lambda _: None)
    assert again.heard == 12 - 4
    assert (tmp_path / "a" / LABELS).read_bytes() == (tmp_path / "b" / LABELS).read_bytes()


def test_a_damaged_part_is_heard_again(tmp_path, capsys):
    label_corpus(Writer(), Tones(), config(), tmp_path, tmp_path / "work", lambda _: None)
    before = (tmp_path / LABELS).read_bytes()
    part = tmp_path / "work" / "train-00000.json"
    part.write_bytes(part.read_bytes().replace(b"So", b"No"))
    again = Writer()
    label_corpus(again, Tones(), config(), tmp_path, tmp_path / "work", lambda _: None)
    assert again.heard == 7 and (tmp_path / LABELS).read_bytes() == before
    assert "heard again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "log_prob", "keys", "why"),
    [
        ("", 0.0, {}, "no text"),
        ("Yes.", -1.5, {}, "unlikely"),
        ("Yes.", -1.5, {"min_log_prob": None}, None),
        ("so it goes " * 20, -0.1, {}, "repeats itself"),
        ("so it goes " * 20, -0.1, {"max_compression": None}, None),
        ("So, it IS!", -0.1, {"max_wer": 0.0}, None),
        ("So it was.", -0.1, {"max_wer": 0.3}, "not what was said"),
        ("So it was.", -0.1, {"max_wer": 0.34}, None),
    ],
)
def test_what_is_not_learned_from(text, log_prob, keys, why):
    assert rejection(text, log_prob, "so it is", config(**keys)) == why


def corpus_of(text: str, lowercase: bool | str) -> Tones:
    corpus = Tones()
    corpus.summary["parameters"]["text"]["lowercase"] = lowercase
    corpus.split = lambda name: [Utterance(f"{name}-0", text)]
    return corpus


def test_words_are_compared_in_the_letters_of_the_language():
    turkish = Measure.of(corpus_of("ısı arttı", "tr"))
    assert turkish.error_rate("ısı arttı", "Isı arttı.") == 0.0
    assert Measure.of(corpus_of("ısı arttı", False)).error_rate("so", "So!") == 0.0
    kept = config(max_wer=0.0)
    assert rejection("Isı arttı.", -0.1, "ısı arttı", kept, turkish) is None
    assert rejection("Isı arttı.", -0.1, "ısı arttı", kept) == "not what was said"


def test_characters_are_compared_in_scripts_without_spaces():
    chinese = Measure.of(corpus_of("今天天气很好", True))
    assert chinese.error_rate("今天天气很好", "今天天气很号。") == pytest.approx(1 / 6)
    assert rejection("今天天气很号。", -0.1, "今天天气很好", config(max_wer=0.2), chinese) is None
    assert rejection("今天天气很号。", -0.1, "今天天气很好", config(max_wer=0.1), chinese) == "not what was said"


def test_without_a_transcript_the_words_are_not_compared():
    assert rejection("Anything at all.", -0.1, None, config(max_wer=0.0)) is None
