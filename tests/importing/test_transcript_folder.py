"""Folders of recordings with transcripts beside them."""

import os

import soundfile

from tests.factories.audio import RATE
from tests.factories.layouts import TEXTS, every, imported, refused, run_import, sound, write_lines, write_sound


def librispeech(folder, speakers, suffix="flac"):
    for speaker in speakers:
        chapter = folder / speaker / "12"
        names = [f"{speaker}-12-{i:04d}" for i in range(2)]
        for index, name in enumerate(names):
            write_sound(chapter / f"{name}.{suffix}", int(speaker) * 2 + index)
        write_lines(chapter / f"{speaker}-12.trans.txt", [f"{n} {TEXTS[i].upper()}" for i, n in enumerate(names)])
    return folder


def test_the_layout_of_librispeech(tmp_path):
    for split, speakers in {"train-clean-5": ["1", "2"], "dev-clean-2": ["3"], "test-other": ["4"]}.items():
        librispeech(tmp_path / "LibriSpeech" / split, speakers)
    write_lines(tmp_path / "LibriSpeech/SPEAKERS.TXT", [";ID | SEX", "1  | F | train-clean-5 | 5 | A", "3 | M | dev"])
    splits = imported("folder", tmp_path / "LibriSpeech", out=tmp_path / "out")
    assert [[line["speaker"] for line in own] for own in splits.values()] == [
        ["1", "1", "2", "2"],
        ["3"] * 2,
        ["4"] * 2,
    ]
    assert splits["train"][1]["text"] == "BED ACE" and splits["train"][1]["gender"] == "f"
    assert splits["train"][1]["audio_filepath"] == "../LibriSpeech/train-clean-5/1/12/1-12-0001.flac"
    assert splits["dev"][0]["gender"] == "m" and "gender" not in splits["test"][0]


def test_a_text_beside_each_recording(tmp_path):
    for index in range(6):
        write_sound(tmp_path / f"home/{'abc'[index // 2]}/{index}.wav", index)
        (tmp_path / f"home/{'abc'[index // 2]}/{index}.{('txt', 'lab')[index % 2]}").write_text(
            f"\ufeff{TEXTS[index]}\n"
        )
    pattern = ("--speaker-pattern", "([^/]+)/[^/]+$")
    lines = every(imported("folder", tmp_path / "home", *pattern, out=tmp_path / "out"))
    assert sorted((line["speaker"], line["text"]) for line in lines) == sorted(
        ("abc"[index // 2], TEXTS[index]) for index in range(6)
    )
    assert "has no group" in refused("folder", tmp_path / "home", "--speaker-pattern", ".*")
    assert "not a regular expression" in refused("folder", tmp_path / "home", "--speaker-pattern", "(")


def test_what_cannot_be_used_of_a_folder_is_said(tmp_path):
    home = librispeech(tmp_path / "home", ["1", "2", "3"])
    with open(home / "1/12/1-12.trans.txt", "a") as file:
        file.write("1-12-0009 GONE\n")
    write_sound(home / "2/12/silent.wav", 3)
    write_sound(home / "2/12/latin.wav", 3)
    (home / "2/12/latin.txt").write_bytes(b"caf\xe9")
    (home / "2/12/phone.m4a").write_bytes(b"x")
    write_sound(home / "3/12/line.wav", 4)
    os.rename(home / "3/12/line.wav", home / "3/12/two\nlines.wav")
    write_sound(home / "3/12/bytes.wav", 4)
    os.rename(home / "3/12/bytes.wav", os.fsencode(home / "3/12") + b"/caf\xe9.wav")
    (home / "3/12/empty.txt").write_text(" \n")
    write_sound(home / "3/12/empty.wav", 5)
    os.mkfifo(home / "3/12/pipe.trans.txt")
    status, out, err = run_import("folder", home, "--out", tmp_path / "out")
    assert status == 0, err
    for reason in (
        "a transcript without audio (",
        "no transcript beside it (NAME.txt, NAME.lab or a *.trans.txt) (",
        "a transcript that is not UTF-8 (",
        "a format that is not read; convert it to flac or wav (",
        "a file name with a line break or another control character; rename the file (",
        "a file name that is not UTF-8; rename the file (",
        "an empty text (",
        "a list of transcripts that is no file (",
    ):
        assert f"1 × {reason}" in out, out
    assert len((tmp_path / "out/left_out.txt").read_text().splitlines()) == 8


def test_recordings_of_every_format_that_is_read_are_taken(tmp_path):
    kinds = {"aiff": "AIFF", "aif": "AIFF", "au": "AU", "caf": "CAF", "rf64": "RF64", "w64": "W64", "sph": "NIST"}
    (tmp_path / "home").mkdir()
    for index, (suffix, kind) in enumerate(kinds.items()):
        soundfile.write(tmp_path / f"home/{index}.{suffix}", sound(index), RATE, format=kind, subtype="PCM_16")
        (tmp_path / f"home/{index}.txt").write_text(TEXTS[index % 6])
    assert len(every(imported("folder", tmp_path / "home", out=tmp_path / "out"))) == len(kinds)


def test_every_transcript_that_is_not_used_is_counted(tmp_path):
    home = tmp_path / "home"
    for index in range(3):
        write_sound(home / f"{index}.wav", index)
        (home / f"{index}.normalized.txt").write_text(TEXTS[index])
        (home / f"{index}.original.txt").write_text(TEXTS[index])  # of a recording, as LibriTTS has it
    write_sound(home / "3.WAV", 3)
    (home / "3.TXT").write_text("in capitals")
    (home / "README.txt").write_text("what this is")
    (home / "gone.txt").write_text("bed")
    (home / "old.lab").write_text("ace")
    (home / "old.shn").write_bytes(b"x")
    (home / "deep").mkdir()
    (home / "deep/alone.txt").write_text("dad")
    status, out, err = run_import("folder", home, "--out", tmp_path / "out")
    assert status == 0 and "3 × a transcript without audio (first: " in out, (out, err)
    left = (tmp_path / "out/left_out.txt").read_text()
    assert len(left.splitlines()) == 3 and "old.lab': a transcript without audio: beside it: 'old.shn'" in left
    texts = [line["text"] for line in every(imported("folder", home, out=tmp_path / "out"))]
    assert sorted(texts) == sorted([*TEXTS[:3], "in capitals"])


def test_transcripts_alone_are_told(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/a.txt").write_text("bed")
    assert "1 transcript(s) are there, without audio of these formats" in refused(
        "folder", tmp_path / "home", "--out", tmp_path / "out"
    )
    for name in ("train/1", "train/2", "train/3", "other/4"):
        write_sound(tmp_path / f"split/{name}.wav", 0)
        (tmp_path / f"split/{name}.txt").write_text("bed")
    (tmp_path / "split/other/gone.txt").write_text("bed")
    _, out, _ = run_import("folder", tmp_path / "split", "--out", tmp_path / "out")
    assert "other: 1 recording(s) and 1 transcript(s) without audio or more left out" in out


def test_an_empty_folder_and_one_of_parquet(tmp_path):
    (tmp_path / "empty").mkdir()
    message = refused("folder", tmp_path / "empty")
    assert "empty: no recordings (wav, flac, ogg, opus or mp3) in it or below; expected NAME.wav" in message
    assert len(message.splitlines()) == 1
    (tmp_path / "empty/x.parquet").write_bytes(b"")
    assert "diminuendo import huggingface" in refused("folder", tmp_path / "empty")


def test_a_file_is_no_folder_and_is_said_to_be_one(tmp_path):
    (tmp_path / "table.csv").write_text("path,text\n")
    message = refused("folder", tmp_path / "table.csv")
    assert "table.csv: a file, expected a folder; files of lines are read by import csv or lhotse" in message
    assert "there is no folder of this name; give the path of the folder" in refused("folder", tmp_path / "none")
