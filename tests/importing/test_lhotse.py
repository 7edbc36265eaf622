"""lhotse's manifests, as text: the package itself is only needed for cuts that it must load."""

import gzip
import importlib.util
import json
import os

import numpy as np
import pytest
import soundfile

from tests.factories.audio import RATE
from tests.factories.layouts import TEXTS, every, heard, imported, refused, run_import, sound, write_lines, write_sound

HAS_LHOTSE = importlib.util.find_spec("lhotse") is not None


def recording(path, name, seconds, channels=1):
    source = {"type": "file", "channels": list(range(channels)), "source": str(path)}
    sizes = {"sampling_rate": RATE, "num_samples": round(seconds * RATE), "duration": seconds}
    return {"id": name, "sources": [source], **sizes, "channel_ids": list(range(channels))}


def supervision(name, of, start, duration, text, speaker=None, **more):
    return {
        "id": name,
        "recording_id": of,
        "start": start,
        "duration": duration,
        "channel": 0,
        "text": text,
        "speaker": speaker,
        **more,
    }


def cut(name, of, start, duration, *supervisions, channel=0):
    return {
        "id": name,
        "start": start,
        "duration": duration,
        "channel": channel,
        "supervisions": list(supervisions),
        "recording": of,
        "type": "MonoCut",
    }


def write_gz(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def test_cuts_are_pieces_of_their_recordings(tmp_path):
    cuts = []
    for index in range(4):
        write_sound(tmp_path / f"audio/{index}.wav", index, 4.0)
        own = recording(f"audio/{index}.wav", f"rec{index}", 4.0)
        said = supervision(f"sup{index}", f"rec{index}", 0.0, 1.5, TEXTS[index], f"s{index}", gender="f")
        cuts.append(cut(f"one{index}", own, 0.5, 1.5, said | {"custom": {"accent": "hills", "deep": {"a": 1}}}))
        two = (
            supervision(f"{index}{n}", f"rec{index}", at, 0.5, "bed", f"s{index}") for n, at in (("a", 0.25), ("b", 1))
        )
        cuts.append(cut(f"two{index}", own, 2.0, 2.0, *two))
    lines = {
        line["id"]: line
        for line in every(imported("lhotse", write_gz(tmp_path / "cuts.jsonl.gz", cuts), out=tmp_path / "out"))
    }
    assert len(lines) == 12
    one = lines["one1"]
    assert (one["offset"], one["duration"], one["text"], one["speaker"]) == (0.5, 1.5, "bed ace", "s1")
    assert (one["gender"], one["accent"], one["audio_filepath"]) == (
        "f",
        "hills",
        "../audio/1.wav",
    ) and "deep" not in one
    assert [(lines[name]["offset"], lines[name]["duration"]) for name in ("1a", "1b")] == [(2.25, 0.5), (3.0, 0.5)]
    expected = sound(1, 4.0)[round(2.25 * RATE) : round(2.75 * RATE)]
    np.testing.assert_allclose(heard(tmp_path / "out", lines["1a"]), expected, atol=1e-3)


def test_what_no_manifest_can_have_is_counted(tmp_path):
    cuts = []
    for index in range(3):
        write_sound(tmp_path / f"{index}.wav", index, 1.0)
        said = supervision("s", f"r{index}", 0.0, 1.0, TEXTS[index], f"s{index}", gender=["f"])
        own = recording(f"{index}.wav", f"r{index}", 1.0)
        cuts.append(cut(f"c{index}", own, 0.0, 1.0, said | {"custom": {"deep": {"a": index}, "shallow": 1.5}}))
    status, out, err = run_import("lhotse", write_gz(tmp_path / "cuts.jsonl.gz", cuts), "--out", tmp_path / "out")
    assert status == 0, err
    assert "'gender': 3 × neither text nor a number, and not kept (first: a list, ['f'])" in out
    assert "'deep': 3 × neither text nor a number, and not kept (first: an object, {'a': 0})" in out
    assert "shallow" not in out


def test_the_names_of_several_files_are_the_splits(tmp_path):
    files = []
    for number, split in enumerate(("train-clean-5", "dev-clean-2", "test")):
        write_sound(tmp_path / f"{number}.wav", number, 1.0)
        own = recording(tmp_path / f"{number}.wav", f"r{number}", 1.0)
        cuts = [cut(f"c{number}", own, 0.0, 1.0, supervision("s", f"r{number}", 0.0, 1.0, "bed", f"s{number}"))]
        files.append(write_lines(tmp_path / f"mini_cuts_{split}.jsonl", cuts))
    splits = imported("lhotse", *files, out=tmp_path / "out")
    assert [[line["id"] for line in own] for own in splits.values()] == [["c0"], ["c1"], ["c2"]]
    assert "offset" not in splits["train"][0]  # the whole file


def test_recordings_and_supervisions(tmp_path):
    recordings, supervisions = [], []
    for index in range(3):
        write_sound(tmp_path / f"{index}.wav", index, 2.0)
        recordings.append(recording(f"{index}.wav", f"r{index}", 2.0))
        supervisions.append(supervision(f"u{index}", f"r{index}", 0.5, 1.0, TEXTS[index], f"s{index}"))
    supervisions.append(supervision("lost", "r9", 0.0, 1.0, "bed"))
    files = [
        write_gz(tmp_path / f"{name}.jsonl.gz", lines)
        for name, lines in (("recordings", recordings), ("supervisions", supervisions))
    ]
    status, out, err = run_import("lhotse", *files, "--out", tmp_path / "out")
    assert status == 0, err
    assert "1 × a supervision of a recording that is not there" in out
    lines = every(imported("lhotse", *files, out=tmp_path / "out"))
    assert sorted((line["id"], line["offset"]) for line in lines) == [("u0", 0.5), ("u1", 0.5), ("u2", 0.5)]
    assert "recordings alone" in refused("lhotse", files[0], "--out", tmp_path / "other")


def test_commands_and_addresses_are_never_followed(tmp_path):
    trap = tmp_path / "trap"
    cuts = []
    for kind, source in (("command", f"touch {trap}"), ("url", "https://example.com/a.wav")):
        own = recording("x", kind, 1.0)
        own["sources"][0] |= {"type": kind, "source": source}
        plain = cut(kind, own, 0.0, 1.0, supervision("s", kind, 0.0, 1.0, "bed"))
        cuts += [
            plain,
            {"id": f"mix-{kind}", "tracks": [{"cut": plain, "type": "MonoCut", "offset": 0.0}], "type": "MixedCut"},
        ]
    message = refused("lhotse", write_lines(tmp_path / "cuts.jsonl", cuts), "--out", tmp_path / "out")
    assert "audio from a 'command', which is never run or fetched" in message and "audio from a 'url'" in message
    assert not trap.exists()


def test_cuts_that_cannot_be_used_have_one_reason_each(tmp_path):
    write_sound(tmp_path / "a.wav", 0, 1.0)
    own = recording("a.wav", "r", 1.0)
    said = supervision("s", "r", 0.0, 1.0, "bed")
    features = cut("f", own, 0.0, 1.0, said)
    del features["recording"]
    cuts = [cut("none", own, 0.0, 1.0), features, {"id": "odd", "duration": 1, "supervisions": [{}]}, "{broken", "[]"]
    cuts.append(cut("gone", recording("gone.wav", "g", 1.0), 0.0, 1.0, said))
    message = refused("lhotse", write_lines(tmp_path / "cuts.jsonl", cuts), "--out", tmp_path / "out")
    for reason in (
        "1 × a cut without supervisions",
        "1 × a cut without its recording (features alone)",
        "1 × start of a supervision is not there",
        "2 × a line that is not a JSON object",
        "1 × no such file",
    ):
        assert reason in message, message


def without(line, key):
    return {name: value for name, value in line.items() if name != key}


NAN = float("nan")
_OWN = recording("a.wav", "r", 1.0)
_SAID = supervision("s", "r", 0.0, 1.0, "bed")
_GOOD = cut("bad", _OWN, 0.0, 1.0, _SAID)
_ODD = "a cut that is not as lhotse writes them"
_ODD_CUTS = [
    (_GOOD | {"recording": None}, f"{_ODD} (", "recording: expected an object, found nothing"),
    (_GOOD | {"recording": "x"}, _ODD, "recording: expected an object, found text"),
    (_GOOD | {"recording": _OWN | {"sources": 5}}, _ODD, "sources: expected a list"),
    (_GOOD | {"recording": _OWN | {"sources": ["x"]}}, _ODD, "a source: expected an object"),
    (_GOOD | {"recording": _OWN | {"sources": [{"type": "file", "source": ["a"]}]}}, _ODD, "source: expected text"),
    (_GOOD | {"tracks": [{"cut": 5}]}, _ODD, "the cut of a track: expected an object, found a number"),
    (_GOOD | {"tracks": [5]}, _ODD, "a track: expected an object"),
    (_GOOD | {"tracks": []}, _ODD, "tracks: there are none"),
    (_GOOD | {"tracks": None}, _ODD, "tracks: expected a list, found nothing"),
    (_GOOD | {"supervisions": ["x"]}, _ODD, "a supervision: expected an object"),
    (_GOOD | {"supervisions": None}, _ODD, "supervisions: expected a list"),
    (_GOOD | {"channel": "x"}, _ODD, "channel: expected a whole number"),
    (_GOOD | {"channel": 1.0}, _ODD, "channel: expected a whole number"),
    (_GOOD | {"channel": -1}, "a channel that the recording does not name", "channel -1 of [0]"),
    (_GOOD | {"channel": 7}, "a channel that the recording does not name", ""),
    (_GOOD | {"start": NAN}, "start is not a number of seconds", "nan"),
    (_GOOD | {"duration": NAN}, "duration is not a number of seconds", "nan"),
    (_GOOD | {"duration": "x"}, "duration is not a number of seconds", "'x'"),
    (_GOOD | {"start": -5}, "an utterance that begins before its file", "-5 s"),
    (_GOOD | {"start": 0.5, "duration": -1}, "a supervision that reaches beyond its cut", ""),
    (without(_GOOD, "start"), "start is not there", ""),
    (_GOOD | {"supervisions": [_SAID | {"start": -3}]}, "a supervision that reaches beyond its cut", "-3 s for 1 s"),
    (_GOOD | {"supervisions": [_SAID | {"duration": 9}]}, "a supervision that reaches beyond its cut", ""),
    (_GOOD | {"supervisions": [_SAID | {"duration": -1}]}, "an utterance that ends before it begins", ""),
    (_GOOD | {"supervisions": [_SAID | {"duration": NAN}]}, "duration of a supervision is not a number", ""),
    (_GOOD | {"supervisions": [_SAID | {"text": ["a"]}]}, "text: expected text, found a list", "['a']"),
    (_GOOD | {"supervisions": [_SAID | {"speaker": {}}]}, "speaker: expected text, found an object", ""),
    ({"id": "bad", "words": 2}, "neither a cut, a recording nor a supervision of lhotse", "its keys: 'id', 'words'"),
    (_GOOD | {"id": [1]}, "id: expected text, found a list", "[1]"),
]


@pytest.mark.parametrize(("odd", "reason", "detail"), _ODD_CUTS)
def test_one_bad_cut_is_left_out_and_the_others_are_imported(tmp_path, odd, reason, detail):
    write_sound(tmp_path / "a.wav", 0, 1.0)
    good = [cut(f"c{i}", _OWN, 0.0, 1.0, _SAID | {"text": TEXTS[i], "speaker": f"s{i}"}) for i in range(3)]
    file = write_lines(tmp_path / "cuts.jsonl", [odd, *good])
    status, out, err = run_import("lhotse", file, "--root", tmp_path, "--out", tmp_path / "out")
    assert status == 0, err
    assert f"1 × {reason}" in out and detail in out
    assert len((tmp_path / "out/left_out.txt").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"start": -1}, "an utterance that begins before its file"),
        ({"start": NAN}, "start of a supervision is not a number of seconds"),
        ({"duration": 0}, "an utterance that ends before it begins"),
        ({"channel": "x"}, _ODD),
        ({"recording_id": [1]}, "a supervision of a recording that is not there"),
    ],
)
def test_one_bad_supervision_is_left_out_and_the_others_are_imported(tmp_path, change, reason):
    write_sound(tmp_path / "a.wav", 0, 1.0)
    good = [supervision(f"u{i}", "r", 0.0, 1.0, TEXTS[i], f"s{i}") for i in range(3)]
    file = write_lines(tmp_path / "all.jsonl", [_OWN, _SAID | change, *good])
    status, out, err = run_import("lhotse", file, "--root", tmp_path, "--out", tmp_path / "out")
    assert status == 0 and f"1 × {reason}" in out, (out, err)


def test_recordings_that_are_not_used_are_counted(tmp_path):
    write_sound(tmp_path / "a.wav", 0, 1.0)
    good = [supervision(f"u{i}", "r", 0.0, 1.0, TEXTS[i], f"s{i}") for i in range(3)]
    lines = [_OWN, recording("a.wav", "r", 1.0), recording("b.wav", "nobody", 1.0)]
    file = write_lines(tmp_path / "all.jsonl", [*lines, *good])
    status, out, err = run_import("lhotse", file, "--root", tmp_path, "--out", tmp_path / "out")
    assert status == 0, err
    assert f"1 × a second recording of one id ({file}:2: 'r')" in out
    assert f"1 × a recording without supervisions ({file}:3: 'nobody')" in out
    cuts = [cut(f"c{i}", _OWN, 0.0, 1.0, _SAID | {"speaker": f"s{i}"}) for i in range(3)]
    file = write_lines(tmp_path / "cuts.jsonl", [*cuts, _OWN])
    status, out, err = run_import("lhotse", file, "--root", tmp_path, "--out", tmp_path / "out")
    assert status == 0 and "1 × a recording without supervisions" in out, err


def test_the_supervisions_of_a_cut_after_a_bad_one_are_imported(tmp_path):
    write_sound(tmp_path / "a.wav", 0, 2.0)
    said = [supervision(f"s{i}", "r", i / 2, 0.5, TEXTS[i], f"s{i}") for i in range(4)]
    said[1]["duration"] = -3
    file = write_lines(tmp_path / "cuts.jsonl", [cut("c", recording("a.wav", "r", 2.0), 0.0, 2.0, *said)])
    lines = every(imported("lhotse", file, out=tmp_path / "out"))
    assert sorted(line["id"] for line in lines) == ["s0", "s2", "s3"]


def test_the_numbers_of_channels_are_those_that_the_source_names(tmp_path):
    """A file of one channel may be the second of a recording."""
    write_sound(tmp_path / "a.wav", 0, 1.0)
    own = recording("a.wav", "r", 1.0) | {
        "sources": [{"type": "file", "channels": [1], "source": str(tmp_path / "a.wav")}]
    }
    cuts = [cut(f"c{i}", own, 0.0, 1.0, _SAID | {"speaker": f"s{i}"}, channel=1) for i in range(3)]
    lines = every(imported("lhotse", write_lines(tmp_path / "cuts.jsonl", cuts), out=tmp_path / "out"))
    assert [line["audio_filepath"] for line in lines] == ["../a.wav"] * 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty; expected one JSON object per line"),
        (b"not gzip", "cannot be read after line 0"),
        (
            gzip.compress(b'{"id": 1, "words": 2}\n', mtime=0),
            "1 × neither a cut, a recording nor a supervision of lhotse",
        ),
        (gzip.compress(b"{}\n" * 3000, mtime=0)[:-9], "cannot be read|neither a cut"),
    ],
    ids=["empty", "plain", "other", "cut off"],
)
def test_files_that_are_no_manifest(tmp_path, content, words):
    (tmp_path / "cuts.jsonl.gz").write_bytes(content if content else gzip.compress(b""))
    message = refused("lhotse", tmp_path / "cuts.jsonl.gz")
    assert any(word in message for word in words.split("|")), message


def perturbed(tmp_path):
    """Cuts that only lhotse can load: a mixture, and one that is played faster."""
    cuts = []
    for index in range(3):
        write_sound(tmp_path / f"{index}.wav", index, 2.0)
        own = recording(tmp_path / f"{index}.wav", f"r{index}", 2.0)
        plain = cut(
            f"c{index}", own, 0.0, 2.0, supervision(f"s{index}", f"r{index}", 0.0, 2.0, TEXTS[index], f"s{index}")
        )
        cuts.append(
            {"id": f"mix{index}", "tracks": [{"cut": plain, "type": "MonoCut", "offset": 0.0}], "type": "MixedCut"}
        )
    return write_lines(tmp_path / "cuts.jsonl", cuts)


@pytest.mark.skipif(HAS_LHOTSE, reason="lhotse is here")
def test_what_lhotse_must_load_is_left_out_where_it_is_not_installed(tmp_path):
    message = refused("lhotse", perturbed(tmp_path), "--out", tmp_path / "out")
    assert "3 × a mixed, padded or perturbed cut, which lhotse must load: pip install lhotse" in message


@pytest.mark.skipif(not HAS_LHOTSE, reason="needs lhotse (the extra 'import')")
def test_what_lhotse_must_load_is_written(tmp_path):
    lines = {line["id"]: line for line in every(imported("lhotse", perturbed(tmp_path), out=tmp_path / "out"))}
    stored, _ = soundfile.read(tmp_path / "1.wav", dtype="float32")
    np.testing.assert_allclose(heard(tmp_path / "out", lines["mix1"]), stored, atol=1e-6)


def test_a_pipe_and_a_line_without_end_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "pipe.jsonl: a pipe or a device, expected a file" in refused("lhotse", tmp_path / "pipe.jsonl")
    monkeypatch.setattr("diminuendo.importing.lhotse_cuts.MOST_BYTES", 1000)
    with gzip.open(tmp_path / "cuts.jsonl.gz", "wb") as file:
        file.write(b" " * 100_000)
    assert "cuts.jsonl.gz:1: a line of more than 1,000 bytes" in refused("lhotse", tmp_path / "cuts.jsonl.gz")
