"""Hugging Face datasets on disk."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.factories.audio import RATE
from tests.factories.layouts import (
    TEXTS,
    encoded,
    every,
    heard,
    imported,
    refused,
    run_import,
    sound,
    write_lines,
    write_sound,
)

FEATURES = {
    "clip": {"sampling_rate": RATE, "_type": "Audio"},
    "sentence": {"dtype": "string", "_type": "Value"},
    "sex": {"names": ["female", "male"], "_type": "ClassLabel"},
}


def table(numbers, kinds=("FLAC",), **columns):
    """Rows with embedded audio, and what ``datasets`` notes in the schema."""
    numbers = list(numbers)
    cells = {
        "clip": [{"bytes": encoded(i, kinds[i % len(kinds)]), "path": f"{i}.flac"} for i in numbers],
        "sentence": [TEXTS[i % 6] for i in numbers],
        "speaker_id": [i // 2 for i in numbers],
        "sex": [i // 2 % 2 for i in numbers],
        **columns,
    }
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return pa.table(cells).replace_schema_metadata(metadata)


def write_parquet(path, *arguments, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(*arguments, **columns), path)
    return path


def test_embedded_audio_is_written_byte_for_byte(tmp_path):
    kinds = ("FLAC", "WAV", "OGG", "MP3")
    first = write_parquet(tmp_path / "set/data/train-00000-of-00002.parquet", range(4), kinds)
    stored = pq.read_table(first)["clip"].to_pylist()
    write_parquet(tmp_path / "set/data/train-00001-of-00002.parquet", range(4, 6), kinds)
    write_parquet(tmp_path / "set/data/validation-00000-of-00001.parquet", range(6, 8))
    write_parquet(tmp_path / "set/data/test-00000-of-00001.parquet", range(8, 10))
    splits = imported("huggingface", tmp_path / "set", out=tmp_path / "out")
    assert [len(own) for own in splits.values()] == [6, 2, 2]
    assert [line["text"] for line in splits["train"]] == list(TEXTS)
    assert splits["train"][2]["speaker"] == "1" and splits["train"][2]["gender"] == "male"
    for index in range(4):
        path = tmp_path / "out" / splits["train"][index]["audio_filepath"]
        assert path.read_bytes() == stored[index]["bytes"]
        assert path.suffix == (".flac", ".wav", ".ogg", ".mp3")[index]
    assert splits["train"][1]["duration"] == pytest.approx(len(sound(1)) / RATE, abs=1e-6)


def test_what_save_to_disk_writes(tmp_path):
    for split, numbers in {"train": range(6), "test": range(6, 8)}.items():
        path = tmp_path / f"saved/{split}/data-00000-of-00001.arrow"
        path.parent.mkdir(parents=True)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, (rows := table(numbers)).schema) as writer:
            writer.write_table(rows)
        (path.parent / "cache-0123.arrow").write_bytes(b"what datasets has computed")
    status, out, err = run_import("huggingface", tmp_path / "saved", "--out", tmp_path / "out")
    assert status == 0, err
    assert "dev was taken from train: divided by a digest of the 3 speakers' names" in out
    splits = imported("huggingface", tmp_path / "saved", out=tmp_path / "out")
    assert [len(own) for own in splits.values()] == [4, 2, 2]


def test_samples_in_the_table_are_written_without_loss(tmp_path):
    fine = (sound(0) / 3).astype(np.float32)  # not a multiple of 1/32768
    coarse = np.rint(sound(1) * 32768).astype(np.int16) / np.float32(32768)
    arrays = [fine, coarse, *(sound(i) for i in (2, 3))]
    audio = [{"array": a.tolist(), "sampling_rate": RATE, "path": None} for a in arrays]
    rows = pa.table({"audio": audio, "text": list(TEXTS[:4]), "speaker": list("abcd")})
    (tmp_path / "set").mkdir()
    pq.write_table(rows, tmp_path / "set/data.parquet")
    lines = {line["speaker"]: line for line in every(imported("huggingface", tmp_path / "set", out=tmp_path / "out"))}
    for name, expected in zip("ab", arrays):
        np.testing.assert_array_equal(heard(tmp_path / "out", lines[name]), expected)
    assert lines["a"]["audio_filepath"].endswith(".wav") and lines["b"]["audio_filepath"].endswith(".flac")
    assert soundfile.info(tmp_path / "out" / lines["b"]["audio_filepath"]).subtype == "PCM_16"


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_an_audiofolder(tmp_path, name):
    for split, numbers in {"train": range(4), "validation": (4,), "test": (5,)}.items():
        place = tmp_path / "set" / split
        rows = [{"file_name": f"audio/{i}.wav", "transcription": TEXTS[i], "speaker": f"s{i}"} for i in numbers]
        for i in numbers:
            write_sound(place / f"audio/{i}.wav", i)
        header = ["file_name,transcription,speaker"]
        write_lines(place / name, rows if name.endswith("l") else header + [",".join(row.values()) for row in rows])
    splits = imported("huggingface", tmp_path / "set", out=tmp_path / "out")
    assert [[line["text"] for line in own] for own in splits.values()] == [list(TEXTS[:4]), [TEXTS[4]], [TEXTS[5]]]
    assert splits["dev"][0]["audio_filepath"] == "../set/validation/audio/4.wav"


@pytest.mark.parametrize("key", ["text", "speaker", "id", "split"])
@pytest.mark.parametrize(("value", "kind"), [(["a"], "a list"), ({"a": 1}, "an object"), (True, "true or false")])
def test_what_is_no_text_does_not_become_text(tmp_path, key, value, kind):
    rows = []
    for index in range(4):
        write_sound(tmp_path / f"set/{index}.wav", index)
        rows.append({"file_name": f"{index}.wav", "text": TEXTS[index], "speaker": index})
    rows[0][key] = value
    write_lines(tmp_path / "set/metadata.jsonl", rows)
    status, out, err = run_import("huggingface", tmp_path / "set", "--out", tmp_path / "out")
    assert status == 0, err
    assert f"1 × {key}: expected text, found {kind}" in out


def test_the_metadata_of_a_data_set_are_utf8(tmp_path):
    """`import huggingface` has no --encoding, so its error names none."""
    (tmp_path / "metadata.csv").write_bytes(b"file_name,text\n0.wav,caf\xe9\n")
    message = refused("huggingface", tmp_path)
    assert "is not UTF-8 text; save the file as UTF-8\n" in message


def test_a_data_set_cannot_name_files_outside_of_its_folder(tmp_path):
    write_sound(tmp_path / "private.wav", 0)
    names = ["../private.wav", str(tmp_path / "private.wav")]
    write_lines(tmp_path / "set/metadata.jsonl", [{"file_name": name, "text": "bed"} for name in names])
    message = refused("huggingface", tmp_path / "set", "--out", tmp_path / "out")
    assert "2 × a path that leads out of the source's folder" in message and not (tmp_path / "out").exists()


def test_wrong_keys_are_answered_with_those_that_were_found(tmp_path):
    write_parquet(tmp_path / "set/train.parquet", range(6), phrase=list("abcdef"))
    message = refused("huggingface", tmp_path / "set", "--column", "text=phrases")
    assert "there are: 'clip', 'sentence', 'speaker_id', 'sex', 'phrase'. Did you mean 'phrase'?" in message
    rows = pa.table({"x": [1], "y": ["bed"]})
    (tmp_path / "other").mkdir()
    pq.write_table(rows, tmp_path / "other/a.parquet")
    assert "known to hold the audio or the text; there are: 'x', 'y'" in refused("huggingface", tmp_path / "other")


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    rows = table(range(8)).to_pydict()
    rows["clip"][0] = {"bytes": b"not audio", "path": None}
    rows["clip"][1] = {"bytes": None, "path": None}
    rows["clip"][2] = {"bytes": None, "path": "gone.flac"}
    rows["sentence"][3] = None
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "set/rows.parquet")
    columns = ("--column", "audio=clip")
    status, out, err = run_import("huggingface", tmp_path / "set", *columns, "--out", tmp_path / "out")
    assert status == 0, err
    for reason in (
        "1 × audio that cannot be decoded",
        "1 × neither bytes nor a path in the column of the audio",
        "1 × no such file",
        "1 × an empty text",
    ):
        assert reason in out, out


def test_several_configurations_scripts_and_damaged_files(tmp_path):
    for language in ("de", "fr"):
        write_parquet(tmp_path / f"set/{language}/train-00000-of-00001.parquet", range(2))
    message = refused("huggingface", tmp_path / "set")
    assert (
        f"more than one configuration; give the folder of one of them: {tmp_path}/set/de, {tmp_path}/set/fr" in message
    )
    trap = tmp_path / "trap"
    write_lines(tmp_path / "script/loader.py", [f"open({str(trap)!r}, 'w')"])
    assert "has a script (loader.py), and none is ever run" in refused("huggingface", tmp_path / "script")
    assert not trap.exists()
    for name in ("a.parquet", "a.arrow"):
        write_lines(tmp_path / name[2:] / name, ["neither"])
        assert f"{name}: not a" in refused("huggingface", tmp_path / name[2:])


def test_a_split_of_another_name_is_left_out_and_said(tmp_path):
    for name, numbers in {"train": range(4), "other": range(4, 6), "test": range(6, 8)}.items():
        write_parquet(tmp_path / f"set/{name}-00000-of-00001.parquet", numbers)
    _, out, _ = run_import("huggingface", tmp_path / "set", "--out", tmp_path / "out")
    assert "left out: the split 'other' is none of train, dev and test; --split other=train takes it" in out
    splits = imported("huggingface", tmp_path / "set", "--split", "other=dev", out=tmp_path / "out")
    assert [len(own) for own in splits.values()] == [4, 2, 2]
