"""Kaldi data directories."""

import numpy as np
import pytest
import soundfile

from tests.factories.audio import RATE, read_manifest
from tests.factories.layouts import TEXTS, every, heard, imported, refused, run_import, sound, write_lines, write_sound


def data_directory(folder, speakers, count=2, prefix=""):
    """A data directory with ``count`` utterances of each speaker, whole files."""
    scp, text, utt2spk = [], [], []
    for speaker in speakers:
        for index in range(count):
            name = f"{speaker}-{prefix}{index}"
            path = folder / "wav" / f"{name}.wav"
            write_sound(path, speakers.index(speaker) * count + index)
            scp.append(f"{name} {path}")
            text.append(f"{name} {TEXTS[index]}")
            utt2spk.append(f"{name} {speaker}")
    write_lines(folder / "wav.scp", scp)
    write_lines(folder / "text", text)
    write_lines(folder / "utt2spk", utt2spk)
    return folder


def test_segments_are_pieces_of_their_recordings(tmp_path):
    """Four speakers, a recording with two segments each; the folder of the project is where paths begin."""
    data = tmp_path / "egs/data/all"
    for index in range(4):
        write_sound(tmp_path / f"egs/audio/rec{index}.wav", index, 3.0)
    write_lines(data / "wav.scp", [f"rec{i} audio/rec{i}.wav" for i in range(4)])
    ends = {0: "0.5 1.25", 1: "1.5 -1"}
    write_lines(data / "segments", [f"s{i}-{n} rec{i} {ends[n]}" for i in range(4) for n in ends])
    write_lines(data / "text", [f"s{i}-{n} {TEXTS[n]}" for i in range(4) for n in ends])
    write_lines(data / "utt2spk", [f"s{i}-{n} s{i}" for i in range(4) for n in ends])
    write_lines(data / "spk2gender", [f"s{i} {'fm'[i % 2]}" for i in range(4)])
    splits = imported("kaldi", data, out=tmp_path / "out")
    lines = {line["id"]: line for line in every(splits)}
    assert len(lines) == 8 and all(splits.values())
    first, second = lines["s1-0"], lines["s1-1"]
    assert (first["offset"], first["duration"], first["text"]) == (0.5, 0.75, "dad cab")
    assert (second["offset"], second["duration"], second["speaker"], second["gender"]) == (1.5, 1.5, "s1", "m")
    np.testing.assert_allclose(heard(tmp_path / "out", second), sound(1, 3.0)[round(1.5 * RATE) :], atol=1e-3)
    homes = {split: {line["speaker"] for line in own} for split, own in splits.items()}
    assert sum(map(len, homes.values())) == 4  # nobody is in two of them


def test_the_folders_of_a_recipe_are_the_splits_and_its_copies_are_left_out(tmp_path):
    for name, speakers in {"train": ["a", "b"], "dev_clean": ["c"], "test_other": ["d"]}.items():
        data_directory(tmp_path / "data" / name, speakers)
    data_directory(tmp_path / "data/train_sp", ["a"], prefix="sp")
    status, out, err = run_import("kaldi", tmp_path / "data", "--out", tmp_path / "out")
    assert status == 0, err
    assert "the splits of the source were kept" in out
    assert "train_sp: left out, train is there; --split train_sp=train takes it" in out
    splits = imported("kaldi", tmp_path / "data", out=tmp_path / "out")  # replaces what an import wrote
    assert [sorted({line["speaker"] for line in own}) for own in splits.values()] == [["a", "b"], ["c"], ["d"]]
    assert splits["train"][0]["audio_filepath"] == "../data/train/wav/a-0.wav"  # beside the manifests: relative


def test_a_path_out_of_the_folder_is_found_under_a_root_around_both(tmp_path, monkeypatch):
    """With the root that the error asks for, and with no other."""
    data, elsewhere = tmp_path / "corpus/kaldi", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for index in range(4):
        write_sound(tmp_path / f"corpus/clips/{index}.wav", index)
    write_lines(data / "wav.scp", [f"{i} ../clips/{i}.wav" for i in range(4)])
    write_lines(data / "text", [f"{i} {TEXTS[i]}" for i in range(4)])
    message = refused("kaldi", data, "--out", tmp_path / "out")
    assert "4 × a path that leads out of the source's folder; give the folder around both as --root" in message
    message = refused("kaldi", data, "--root", data, "--out", tmp_path / "out")
    assert "4 × a path that leads out of --root; give the folder around both as --root" in message
    found = imported("kaldi", data, "--root", tmp_path / "corpus", out=tmp_path / "corpus/out")
    assert sorted(line["audio_filepath"] for line in every(found)) == [f"../clips/{i}.wav" for i in range(4)]
    write_lines(data / "wav.scp", ["0 ../clips/gone.wav"])
    message = refused("kaldi", data, "--root", tmp_path / "corpus", "--out", tmp_path / "out")
    assert f"no such file; --root FOLDER says where relative paths begin ({data}/wav.scp:1: " in message
    assert f"../clips/gone.wav (seen from {data})" in message


def test_a_command_in_wav_scp_is_never_run(tmp_path):
    data = data_directory(tmp_path / "data", ["a", "b", "c", "d"], count=1)
    harmless = data / "wav/b-0.wav"
    trap = tmp_path / "trap"
    write_lines(
        data / "wav.scp",
        [
            f"a-0 touch {trap} && sox {harmless} -t wav - |",
            f"b-0 cat {harmless} |",
            f"c-0 /usr/bin/flac -c -d -s {data}/wav/c-0.wav |",
            f"d-0 {data}/wav/d-0.wav",
            f"e-0 | touch {trap}",
            "f-0 raw.ark:1234",
            f"g-0 cat {harmless} ; touch {trap} |",
            f"h-0 cat 'unfinished {trap} |",
        ],
    )
    write_lines(data / "text", [f"{name}-0 {TEXTS[0]}" for name in "abcdefgh"])
    status, out, err = run_import("kaldi", data, "--out", tmp_path / "out")
    assert status == 0, err
    assert not trap.exists()
    assert "4 × wav.scp has a command in place of a file, and none is ever run; run them once yourself" in out
    assert "1 × wav.scp names a part of an archive" in out
    ids = [line["id"] for s in ("train", "dev", "test") for line in read_manifest(tmp_path / f"out/{s}.jsonl")]
    assert sorted(ids) == ["b-0", "c-0", "d-0"]  # what flac and cat only read is the file itself


def test_only_commands_is_an_error_that_says_what_to_do(tmp_path):
    data = data_directory(tmp_path / "data", ["a"], count=1)
    write_lines(data / "wav.scp", ["a-0 sph2pipe -f wav x.sph |"])
    message = refused("kaldi", data, "--out", tmp_path / "out")
    assert "nothing can be used" in message and "none is ever run; run them once yourself" in message
    assert not (tmp_path / "out").exists()


def test_what_is_left_out_is_counted_with_its_reason(tmp_path):
    data = data_directory(tmp_path / "data", ["a", "b", "c", "d"], count=1)
    lines = (data / "text").read_text().splitlines()
    write_lines(data / "text", [*lines[1:], "ghost bed", "b-0 again"])
    (data / "wav/d-0.wav").write_text("no audio")
    with open(data / "wav.scp", "ab") as file:
        file.write(b"caf\xe9 x.wav\nx gone.wav\n")
    with open(data / "text", "a") as file:
        file.write("x bed\n")
    write_sound(data / "wav/y.wav", 9)
    with open(data / "wav.scp", "a") as file:
        file.write(f"y {data}/wav/y.wav\n")
    with open(data / "text", "a") as file:
        file.write("y ab\n")
    status, out, err = run_import("kaldi", data, "--out", tmp_path / "out")
    assert status == 0, err
    for reason in (
        "1 × no transcript in text (",
        "1 × a transcript without audio (",
        "1 × a second line of one key in text (",
        "1 × a line that is not UTF-8 (",
        "1 × no such file; --root FOLDER says where relative paths begin (",
        "1 × audio that cannot be decoded; expected wav, flac, ogg, opus or mp3 (",
    ):
        assert reason in out, out
    assert len((tmp_path / "out/left_out.txt").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("u1 rec 1.0 9.0", "a piece beyond the end of its file"),
        ("u1 rec 7.0 9.0", "a piece beyond the end of its file"),
        ("u1 rec 1.0 0.5", "an utterance that ends before it begins"),
        ("u1 rec one 2.0", "start is not a number of seconds"),
        ("u1 rec nan 2.0", "start is not a number of seconds"),
        ("u1 rec -3 2.0", "an utterance that begins before its file"),
        ("u1 other 0 1", "a segment of a recording that wav.scp does not name"),
        ("u1 rec 0", "a line of segments is not 'utterance recording start end'"),
    ],
)
def test_a_bad_segment_is_left_out_with_its_reason(tmp_path, segment, reason):
    write_sound(tmp_path / "rec.wav", 0, 3.0)
    write_lines(tmp_path / "data/wav.scp", ["rec rec.wav"])
    write_lines(tmp_path / "data/segments", [segment])
    write_lines(tmp_path / "data/text", ["u1 bed"])
    assert reason in refused("kaldi", tmp_path / "data", "--out", tmp_path / "out")


def test_the_channel_of_a_telephone_call_is_written_as_a_file(tmp_path):
    both = np.stack([sound(0, 2.0), sound(1, 2.0)], axis=1)
    soundfile.write(tmp_path / "call.wav", both, RATE)
    data = tmp_path / "data"
    write_lines(data / "wav.scp", ["callA call.wav", "callB call.wav"])
    write_lines(data / "reco2file_and_channel", ["callA call A", "callB call B"])
    spoken = {"x": ("callA", "0 1"), "y": ("callB", "0.5 1.5"), "z": ("callB", "1.5 2")}
    write_lines(data / "segments", [f"{name} {call} {when}" for name, (call, when) in spoken.items()])
    write_lines(data / "text", ["x bed", "y ace", "z dad"])
    lines = {line["id"]: line for line in every(imported("kaldi", data, out=tmp_path / "out"))}
    assert "offset" not in lines["y"] and lines["y"]["audio_filepath"].startswith("audio/")
    stored, _ = soundfile.read(tmp_path / "call.wav", dtype="float32")
    part = stored[round(0.5 * RATE) : round(1.5 * RATE), 1]
    np.testing.assert_array_equal(heard(tmp_path / "out", lines["y"]), part)


def two_channels(tmp_path, segment="x call 0 1", said=None):
    """A data directory with one call of two channels."""
    soundfile.write(tmp_path / "call.wav", np.stack([sound(0, 2.0), sound(1, 2.0)], axis=1), RATE)
    data = tmp_path / "data"
    write_lines(data / "wav.scp", ["call call.wav", "other call.wav"])
    if said is not None:
        write_lines(data / "reco2file_and_channel", [said])
    write_lines(data / "segments", [segment, "y other 0 1 0", "z other 1 2 1", "w other 0 2 1"])
    write_lines(data / "text", ["x bed", "y ace", "z dad", "w cab"])
    return data


def test_the_fifth_column_of_segments_is_the_channel(tmp_path):
    data = two_channels(tmp_path, "x call 0.5 1 1", "call call A")
    status, told, err = run_import("kaldi", data, "--out", tmp_path / "out")
    assert status == 0 and "does not name 1 recording(s), the first other" in told, err
    lines = {line["id"]: line for line in every(imported("kaldi", data, out=tmp_path / "out"))}
    stored, _ = soundfile.read(tmp_path / "call.wav", dtype="float32")
    for name, begin, end, channel in (("x", 0.5, 1, 1), ("y", 0, 1, 0), ("z", 1, 2, 1)):
        expected = stored[round(begin * RATE) : round(end * RATE), channel]
        np.testing.assert_array_equal(heard(tmp_path / "out", lines[name]), expected)


@pytest.mark.parametrize(
    ("segment", "said", "reason"),
    [
        ("x call 0 1", "call call C", "a channel that the file does not have"),
        ("x call 0 1", "call call 3", "a channel that the file does not have"),
        ("x call 0 1", "call call 0", "reco2file_and_channel says no channel"),
        ("x call 0 1", "call call", "reco2file_and_channel says no channel"),
        ("x call 0 1", "call", "reco2file_and_channel says no channel"),
        ("x call 0 1", "call call left", "reco2file_and_channel says no channel"),
        ("x call 0 1 2", None, "a channel that the file does not have"),
        ("x call 0 1 -1", None, "the channel in the fifth column of segments is not a whole number from 0"),
        ("x call 0 1 B", None, "the channel in the fifth column of segments is not a whole number from 0"),
    ],
)
def test_a_channel_that_is_not_understood_is_not_averaged(tmp_path, segment, said, reason):
    status, out, err = run_import("kaldi", two_channels(tmp_path, segment, said), "--out", tmp_path / "out")
    assert status == 0 and f"1 × {reason}" in out, (out, err)


def test_a_file_of_one_channel_is_the_side_of_a_call_that_was_cut_out_of_it(tmp_path):
    data = data_directory(tmp_path / "data", ["a", "b", "c"], count=1)
    write_lines(data / "reco2file_and_channel", [f"{name}-0 call B" for name in "abc"])
    assert len(every(imported("kaldi", data, out=tmp_path / "out"))) == 3


def test_lines_of_other_tables_that_are_not_used_are_told(tmp_path):
    data = data_directory(tmp_path / "data", ["a", "b", "c"], count=1)
    with open(data / "utt2spk", "a") as file:
        file.write("a-0 b\n")
    _, out, _ = run_import("kaldi", data, "--out", tmp_path / "out")
    assert "utt2spk: 1 line(s) not used, the first: " in out and "a second line of one key" in out


def test_utterances_that_are_speakers_of_their_own_have_no_speaker(tmp_path):
    data = data_directory(tmp_path / "data", ["a", "b", "c"], count=1)
    write_lines(data / "utt2spk", [f"{name}-0 {name}-0" for name in "abc"])
    status, out, _ = run_import("kaldi", data, "--out", tmp_path / "out")
    assert status == 0 and "the speakers are unknown" in out and "unknown" in out.splitlines()[3]


def test_a_folder_without_data_and_one_without_text_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no Kaldi data; expected wav.scp and text" in refused("kaldi", tmp_path / "empty")
    data = data_directory(tmp_path / "data", ["a"])
    (data / "text").unlink()
    assert "it has the transcripts" in refused("kaldi", data)
    assert "there is no folder of this name" in refused("kaldi", tmp_path / "nowhere")
