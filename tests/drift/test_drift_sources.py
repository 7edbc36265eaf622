"""From recordings to statistics, and the command."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.drift import statistics_of
from diminuendo.drift.words import words_of
from tests.factories.audio import dummy_corpus, dummy_prepared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    place = tmp_path_factory.mktemp("drift")
    dummy_corpus(place / "recordings")
    dummy_prepared(place / "prepared")
    shutil.copy(ROOT / "params.yaml", place)
    return place


def test_a_manifest_is_measured(corpora):
    found = statistics_of(corpora / "recordings", lowercase=True, splits=("train",))
    lines = [json.loads(line) for line in (corpora / "recordings/train.jsonl").read_text().splitlines()]
    assert found.utterances == len(lines) and found.speakers == 4
    assert found.seconds == pytest.approx(sum(line["duration"] for line in lines), abs=0.01)
    assert sum(found.words.values()) == sum(len(line["text"].split()) for line in lines)
    assert found.measures["duration"] == pytest.approx([line["duration"] for line in lines], abs=0.01)
    assert all(-40 < level < -5 for level in found.measures["level"])
    assert found.measures["speaking_rate"][0] == pytest.approx(
        len(lines[0]["text"].replace(" ", "")) / lines[0]["duration"], rel=0.01
    )


def test_all_splits_and_one_file_of_them(corpora):
    whole, test = (statistics_of(path, True) for path in (corpora / "recordings", corpora / "recordings/test.jsonl"))
    assert whole.utterances > test.utterances > 0
    assert test.speakers == 1 and set(test.unshared) != {len(words_of(text)) for text in test.texts}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "nothing to read"),
        (lambda path: path.write_text("\n"), "no lines"),
        (lambda path: path.write_text('{"text": "a"}\n'), "audio_filepath: missing"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "new")
    with pytest.raises(UserError, match=message):
        statistics_of(tmp_path / "new", True)


def test_a_damaged_recording_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio")
    line = {"audio_filepath": "a.wav", "duration": 1.0, "text": "a"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=r"manifest\.jsonl:1: .*a\.wav: not audio that can be read"):
        statistics_of(tmp_path, True)


def test_the_command(corpora, monkeypatch):
    monkeypatch.chdir(corpora)
    quiet = corpora / "quiet"
    shutil.copytree(corpora / "recordings", quiet, dirs_exist_ok=True)
    for path in quiet.rglob("*.wav"):
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples * 0.02, rate, subtype="FLOAT")
    done = CliRunner().invoke(main, ["drift", "quiet", "--reference", "prepared", "--json", "--out", "out"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["features"]["level"]["shifted"] and not report["features"]["words"]["shifted"]
    assert json.loads(Path("out/drift.json").read_text()) == report
    same = CliRunner().invoke(main, ["drift", "recordings", "--reference", "recordings"])
    assert same.exit_code == 0 and same.output.startswith("Nothing has shifted.")
    assert CliRunner().invoke(main, ["drift", "nowhere", "--reference", "prepared"]).exit_code == 2


def test_words_of_scripts_without_spaces():
    assert words_of("打开 bluetooth灯") == ["打", "开", "bluetooth", "灯"]
    assert words_of("turn it on") == ["turn", "it", "on"]
    assert np.sum([word == "カ" for word in words_of("カラ")]) == 1


def test_what_need_not_end_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    os.symlink("/dev/zero", tmp_path / "zero.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, said in (
        ("pipe.jsonl", "a pipe, a device"),
        ("zero.json", "a pipe, a device"),
        ("deep.json", "Recursion"),
    ):
        with pytest.raises(UserError, match=said):
            statistics_of(tmp_path / name, True)
