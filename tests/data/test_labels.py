"""Labels that look right and are not: nothing said, invisible characters, two texts of one recording, two keys."""

from __future__ import annotations

import json
import shutil
import unicodedata

import numpy as np
import pytest
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.data import text as data_text
from diminuendo.data.manifest import find_file, read_split
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.data.text import normalize, unicode_needed
from diminuendo.data.validation import Problems
from diminuendo.parameters.data import check_data
from tests.factories.audio import RATE, dummy_corpus, manifest_params, prepare_corpus, read_manifest, write_manifest


@pytest.fixture
def source(tmp_path):
    return dummy_corpus(tmp_path / "source")


def edit(source, split, index, **changes):
    path = source / f"{split}.jsonl"
    lines = read_manifest(path)
    lines[index] |= changes
    write_manifest(path, lines)


def prepared(source, out, **changes):
    out.mkdir()
    said = []
    params = manifest_params(source, **changes)
    prepare_corpus(params, out, workers=1, say=said.append, report=source / "report.txt")
    return PreparedCorpus.open(out), said


def refused(source, **changes):
    with pytest.raises(UserError) as error:
        prepared(source, source.parent / "refused", **changes)
    return str(error.value)


def parsed(path, raw: bytes, split: str = "train", lowercase: bool | str = True):
    path.write_bytes(raw)
    problems = Problems()
    return read_split(path, split, lowercase, problems, headers=False), [str(p) for p in problems.all()]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_nobody_speaks_in_an_utterance_of_dev_or_test(source, tmp_path, split):
    line = read_manifest(source / f"{split}.jsonl")[0]
    for name, samples in {"quiet": np.zeros(RATE), "noise": np.random.default_rng(0).normal(size=RATE) / 20}.items():
        soundfile.write(source / f"{name}.wav", samples, RATE)
        more = {**line, "id": name, "audio_filepath": f"{name}.wav", "duration": 1.0, "text": ""}
        with open(source / f"{split}.jsonl", "a") as file:
            file.write(json.dumps(more) + "\n")
    corpus, _ = prepared(source, tmp_path / "out")
    assert [u.text for u in corpus.split(split)].count("") == 2


def test_somebody_speaks_in_every_utterance_of_train(source):
    edit(source, "train", 0, text="")
    assert "train.jsonl:1: text: empty" in refused(source)


@pytest.mark.parametrize(
    "code", [0x200F, 0xFEFF, 0x200B, 0xAD, 0x2060, 0x202A, 0x202E, 0x2066, 0xFE0F, 0x180E, 0x034F, 0x3164, 0xE0041]
)
def test_an_invisible_character_becomes_no_token(code):
    assert normalize(f"{chr(code)}tu{chr(code)}rn on{chr(code)}", True) == "turn on"
    assert normalize(chr(code), False) == ""


@pytest.mark.parametrize("text", ["می‌خواهم", "क्‍ष", "👩‍🚀", "\u0600۱۲", "e\u0301"])
def test_characters_that_write_something_stay(text):
    assert normalize(text, False) == unicodedata.normalize("NFC", text)


def test_a_text_that_was_damaged_is_refused_by_file_and_line(source):
    edit(source, "train", 2, text="turn \ufffdn")
    message = refused(source)
    assert "train.jsonl:3: text: '\ufffd' (U+FFFD) cannot be part of a text" in message and "damaged" in message


def test_a_character_that_this_python_does_not_know_is_told_with_its_unicode(tmp_path):
    (tmp_path / "a.wav").touch()
    line = json.dumps({"audio_filepath": "a.wav", "duration": 1, "text": "a\u0378"}).encode()
    _, (problem,) = parsed(tmp_path / "train.jsonl", line)
    assert f"in Unicode {unicodedata.unidata_version}, which this Python knows" in problem


def test_the_unicode_of_a_corpus_is_recorded_where_another_could_read_it_otherwise(source, tmp_path, monkeypatch):
    assert unicode_needed(["plain", "ÉÈ 你好 नमस्ते"]) is None
    assert unicode_needed(["plain", "\u1e9e"]) == unicodedata.unidata_version  # the capital ß, of 5.1
    corpus, _ = prepared(source, tmp_path / "plain")
    assert "unicode" not in corpus.summary
    edit(source, "train", 0, text="turn o\u1e9f")
    newer, _ = prepared(source, tmp_path / "newer")
    assert newer.summary["unicode"] == data_text.UNICODE


def test_the_same_audio_with_two_texts_in_one_split_is_refused(source):
    first, other = read_manifest(source / "train.jsonl")[:2]
    shutil.copy(source / first["audio_filepath"], source / "copy.wav")
    edit(source, "train", 1, audio_filepath="copy.wav", duration=first["duration"], speaker=first["speaker"])
    message = refused(source)
    assert f"train.jsonl:2: text: {other['text']!r}, but the same audio says {first['text']!r} in line 1" in message


def test_the_same_audio_with_the_same_text_may_come_twice(source, tmp_path):
    first = read_manifest(source / "train.jsonl")[0]
    edit(source, "train", 1, **{key: value for key, value in first.items() if key != "id"})
    prepared(source, tmp_path / "out")


def test_two_texts_of_one_file_are_found_without_its_audio(source):
    first = read_manifest(source / "train.jsonl")[0]
    edit(source, "train", 1, audio_filepath=first["audio_filepath"], duration=first["duration"])
    problems, _ = check_data(manifest_params(source))
    assert any("but the same audio says" in problem for problem in problems)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    raw = b'{"audio_filepath": "a.wav", "duration": 1, "text": "on", "text": "off"}'
    entries, (problem,) = parsed(tmp_path / "train.jsonl", raw)
    assert not entries and "the key 'text' is there twice" in problem
    inner = b'{"audio_filepath": "a.wav", "duration": 1, "text": "on", "more": {"a": 1, "a": 2}}'
    assert "the key 'a' is there twice" in parsed(tmp_path / "train.jsonl", inner)[1][0]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_file_is_found_however_its_accents_are_composed(tmp_path, form):
    name = "éc/ölü.wav"
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], name)
    (tmp_path / other).parent.mkdir()
    (tmp_path / other).touch()
    assert find_file(tmp_path, unicodedata.normalize(form, name)) == tmp_path / other
    assert find_file(tmp_path, "éc/other.wav") is None and find_file(tmp_path, "a\0b") is None


def test_a_path_of_windows_is_told_how_to_be_written(tmp_path):
    line = json.dumps({"audio_filepath": "clips\\a.wav", "duration": 1, "text": "on"}).encode()
    assert "between folders write /" in parsed(tmp_path / "train.jsonl", line)[1][0]


@pytest.mark.parametrize("key", ["offset", "duration"])
def test_a_time_beyond_all_recordings_is_refused(tmp_path, key):
    (tmp_path / "a.wav").touch()
    line = json.dumps({"audio_filepath": "a.wav", "duration": 1, "text": "on"} | {key: 1e308}).encode()
    assert f"{key}: expected less than 10,000,000 seconds, found 1e+308" in parsed(tmp_path / "train.jsonl", line)[1][0]


def test_turkish_has_letters_of_its_own(source, tmp_path):
    assert normalize("İSTANBUL IŞIK", "tr") == "istanbul ışık" == normalize("I\u0307stanbul ışık", "tr")
    assert normalize("İ I", "az") == "i ı"
    assert normalize("İSTANBUL", True) == "i\u0307stanbul"
    edit(source, "train", 0, text="İyi IŞIK")
    corpus, said = prepared(source, tmp_path / "tr", **{"text.lowercase": "tr"})
    assert corpus.train[0].text == "iyi ışık" and corpus.lowercase == "tr"
    assert not any("U+0307" in line for line in said)
    _, said = prepared(source, tmp_path / "plain")
    (warning,) = (line for line in said if "U+0307" in line)
    assert "train.jsonl:1" in warning and "text.lowercase: tr" in warning
    assert any("U+0307" in note for note in check_data(manifest_params(source))[1])
