"""Every kind of file is heard whole, or it is said that it is not."""

from __future__ import annotations

import io
import os
import struct
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.data.audio import read_audio
from diminuendo.data.reading import flac, ogg, reader
from diminuendo.data.reading.inspect import inspect
from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.reader import open_recording
from diminuendo.data.reading.remark import DAMAGED, TRUNCATED, UNCOUNTED
from tests.factories.audio_files import (
    KINDS,
    SECONDS,
    UNCOUNTED_MP3,
    flac_without_length,
    mp3_frames,
    sound,
    wav_that_states,
    whole,
    written,
)

DATA = round(SECONDS * 16000) * 2  # bytes of the samples of the wav


def heard(content: bytes) -> tuple[float, list[str]]:
    """Seconds, and the kinds of what is said."""
    with open_recording(io.BytesIO(content), "it") as recording:
        samples = sum(len(block) for block in recording.blocks())
        return samples / recording.rate, [remark.kind for remark in recording.remarks]


def seconds_of(kind: str) -> float:
    return heard(whole(kind))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_gives_the_samples_of_libsndfile_and_no_remark(kind, tmp_path):
    (tmp_path / "a").write_bytes(whole(kind))
    for start, count in ((0, None), (5000, 7000)):
        with soundfile.SoundFile(tmp_path / "a") as file:
            if start:
                file.seek(start)
            expected = file.read(-1 if count is None else count, "float32", always_2d=True).mean(axis=1)
            rate = file.samplerate
        audio = read_audio(tmp_path / "a", start / rate, None if count is None else count / rate)
        np.testing.assert_array_equal(audio.samples, expected)
        assert audio.rate == rate and not audio.remarks
    assert len(audio.samples) == 7000
    assert seconds_of(kind) == pytest.approx(SECONDS, abs=0.06)


@pytest.mark.parametrize("kind", [*KINDS, UNCOUNTED_MP3])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_file_that_was_cut_anywhere_says_so_or_is_refused(kind, data):
    content = whole(kind)
    sizes = st.integers(1, len(content) - 1) | st.integers(len(content) - 300, len(content) - 1)
    cut = content[: data.draw(sizes)]
    try:
        seconds, kinds = heard(cut)
    except UserError:
        return
    assert seconds <= seconds_of(kind)
    if kind == UNCOUNTED_MP3 and len(cut) in mp3_frames(content):  # nothing in it tells that there was more
        assert seconds == (mp3_frames(content).index(len(cut)) + 1) * 1152 / 44100
    else:
        assert TRUNCATED in kinds


@pytest.mark.parametrize("kind", ["wav", "flac", "vorbis", "mp3", UNCOUNTED_MP3])
def test_most_of_a_file_that_was_cut_is_still_heard(kind):
    content = whole(kind, 6.0)
    seconds, kinds = heard(content[: len(content) * 3 // 4])
    assert kinds == [TRUNCATED] and seconds > 3.0


@pytest.mark.parametrize(
    "kinds",
    [
        ("wav", "wav"),
        ("wav", "wav", "rf64"),
        ("flac", "flac"),
        ("vorbis", "vorbis"),
        ("vorbis", "vorbis", "vorbis"),
        ("mp3", "mp3"),
        (UNCOUNTED_MP3, "mp3 of 44.1 kHz"),
    ],
    ids=" and ".join,
)
def test_files_that_were_joined_are_heard_one_after_the_other(kinds):
    seconds, remarks = heard(b"".join(map(whole, kinds)))
    assert seconds == pytest.approx(sum(map(seconds_of, kinds)), abs=1e-3) and not remarks


def test_a_part_may_lie_across_the_place_where_files_were_joined(tmp_path):
    (tmp_path / "a.ogg").write_bytes(whole("vorbis") * 2)
    both = read_audio(tmp_path / "a.ogg", 0.0, None).samples
    assert len(both) == 2 * SECONDS * 16000
    part = read_audio(tmp_path / "a.ogg", SECONDS - 0.5, 1.0).samples
    np.testing.assert_allclose(part, both[len(part) * 3 // 2 : len(part) * 5 // 2], atol=1e-6)


def test_joined_files_of_several_rates_are_refused():
    with pytest.raises(Unreadable, match=r"several rates.*\(16000 Hz and 44100 Hz\)"):
        heard(whole("mp3") + whole("mp3 of 44.1 kHz"))


@pytest.mark.parametrize(
    ("riff", "data", "seconds", "said"),
    [
        (None, 0, SECONDS, [UNCOUNTED]),
        (0, 0, SECONDS, [UNCOUNTED]),
        (None, DATA // 2, SECONDS / 2, [UNCOUNTED]),
        (DATA // 2 + 36, DATA // 2, SECONDS / 2, [UNCOUNTED]),
        (None, DATA * 3, SECONDS, [TRUNCATED]),
        (DATA + 4000, None, SECONDS, [TRUNCATED]),
        (0, None, SECONDS, []),
        (0xFFFFFFFF, 0xFFFFFFFF, SECONDS, []),
        (0x7FFFF024, 0x7FFFF000, SECONDS, []),
        (None, 0x80000000, SECONDS, []),
    ],
)
def test_sizes_in_the_header_of_a_wav_are_held_against_the_file(riff, data, seconds, said):
    assert heard(wav_that_states(riff, data)) == (seconds, said)


def test_what_may_follow_the_samples_of_a_wav():
    assert heard(whole("wav") + b"LIST" + struct.pack("<I", 4) + b"INFO") == (SECONDS, [])
    assert heard(whole("wav") + bytes(600)) == (SECONDS, [])
    again = struct.pack("<4sI", b"data", 8000) + whole("wav")[2000:10000]
    with pytest.raises(Unreadable, match="not audio that can be read"):
        heard(whole("wav") + again)


@pytest.mark.parametrize(
    ("kind", "place", "format_", "extra"),
    [
        ("aiff", (b"SSND", 4), ">I", 8),
        ("w64", (b"data", 16), "<Q", 24),
        ("rf64", (b"ds64", 16), "<Q", 0),
        ("caf", (b"data", 4), ">Q", 4),
        ("au", (b".snd", 8), ">I", 0),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_header_that_counts_too_little_is_told_in_every_format(kind, place, format_, extra, share):
    content = bytearray(whole(kind))
    struct.pack_into(format_, content, content.index(place[0]) + place[1], int(share * DATA) + extra)
    try:
        assert heard(bytes(content))[1] == [UNCOUNTED]
    except Unreadable as error:
        assert share == 0 and "holds no audio (no samples; its header counts" in str(error)


def test_flac_that_states_no_length():
    assert heard(flac_without_length()) == (SECONDS, [])
    assert heard(b"ID3\x03\0\0\0\0\x02\0" + bytes(256) + flac_without_length()) == (SECONDS, [])
    assert heard(flac_without_length() + b"TAG" + bytes(125)) == (SECONDS, [])
    seconds, kinds = heard(flac_without_length()[:-100])
    assert SECONDS - 0.3 < seconds < SECONDS and kinds == [TRUNCATED]


def test_tags_and_junk_around_the_frames_of_an_mp3():
    content, tag = whole("mp3"), b"ID3\x03\0\0\0\0\x02\0" + bytes(256)
    assert heard(tag + content + b"TAG" + bytes(125)) == (SECONDS, [])
    assert heard(tag + content + tag + content) == (2 * SECONDS, [])
    half = mp3_frames(content)[20]
    seconds, kinds = heard(content[:half] + b"junk" * 700 + content[half:])
    assert seconds == SECONDS and kinds == [DAMAGED]
    assert heard(tag + whole(UNCOUNTED_MP3)) == heard(whole(UNCOUNTED_MP3))


def _ape(flags: int) -> bytes:
    return b"APETAGEX" + struct.pack("<IIII", 2000, 2000, 1, flags) + bytes(8)


APE = _ape(0xA0000000) + b"item" * 492 + _ape(0x80000000)  # a header, 1968 bytes, and a footer
ID3V1, ID3V2 = b"TAG" + bytes(125), b"ID3\x03\0\0\0\0\x02\0" + b"text" * 64


@pytest.mark.parametrize("kind", ["wav", "aiff", "flac", "flac of 24 bits", "vorbis", "opus", "mp3", "au", "sphere"])
@pytest.mark.parametrize(
    "more",
    [whole("wav"), whole("mp3"), whole("vorbis"), whole("flac"), b"no audio " * 3, bytes(90_000) + whole("aiff")],
    ids=["wav", "mp3", "ogg", "flac", "text", "zeros and aiff"],
)
def test_bytes_behind_the_end_are_told_and_cost_no_sound(kind, more):
    if more in (whole("wav"), whole("mp3"), whole("vorbis"), whole("flac")) and more[:4] == whole(kind)[:4]:
        return  # joined files of one format are heard
    seconds, kinds = heard(whole(kind) + more)
    assert seconds == pytest.approx(seconds_of(kind), abs=1e-3)
    assert kinds in ([UNCOUNTED], [DAMAGED])


@pytest.mark.parametrize("kind", ["wav", "flac", "vorbis", "mp3"])
def test_tags_and_zeros_behind_the_end_are_nothing(kind):
    for tail in (
        ID3V1,
        ID3V2,
        APE,
        b"item" * 492 + _ape(0),
        APE + ID3V1,
        bytes(50),
        ID3V2 + bytes(5000),
        bytes(5000) + APE,
    ):
        assert heard(whole(kind) + tail) == (seconds_of(kind), [])


def test_a_tag_between_two_mp3_hides_none_of_them():
    assert heard(whole("mp3") + APE + whole("mp3")) == (2 * SECONDS, [])


def test_a_flac_of_unknown_length_ends_where_its_last_frame_does():
    assert heard(flac_without_length() + b"junk" * 500) == (SECONDS, [UNCOUNTED])
    assert heard(flac_without_length() + b"\n") == (SECONDS, [UNCOUNTED])
    assert heard(whole("flac") + np.random.default_rng(0).bytes(3 << 20)) == (SECONDS, [UNCOUNTED])


def damaged_flac(at: float, seconds: float = 30.0) -> bytes:
    """With zeros in the middle, after this share of its bytes."""
    content = bytearray(written(sound(seconds), 16000, "FLAC"))
    begin = int(len(content) * at)
    content[begin : begin + 300] = bytes(300)
    return bytes(content)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_flac_is_heard_up_to_the_damage(share):
    with open_recording(io.BytesIO(damaged_flac(share)), "it") as recording:
        samples = np.concatenate(list(recording.blocks()))
        (remark,) = recording.remarks
    intact, _ = soundfile.read(io.BytesIO(written(sound(30.0), 16000, "FLAC")), dtype="float32")
    np.testing.assert_array_equal(samples, intact[: len(samples)])
    at = len(samples) / 16000
    assert 30 * share - 2 < at < 30 * share + 2  # a quiet beginning takes fewer bytes
    assert remark.kind == TRUNCATED and remark.message.startswith(f"damaged after {at:.2f} s of 30.00 s; ")


def test_a_part_before_the_damage_is_whole_and_one_across_it_is_told(tmp_path):
    (tmp_path / "a.flac").write_bytes(damaged_flac(0.5))
    assert not read_audio(tmp_path / "a.flac", 2.0, 3.0).remarks
    across = read_audio(tmp_path / "a.flac", 12.0, 10.0)
    assert [r.kind for r in across.remarks] == [TRUNCATED] and 0 < len(across.samples) < 6 * 16000
    second = 12 + len(across.samples) / 16000
    assert f"damaged after {second:.2f} s of" in across.remarks[0].message


def test_a_flac_that_is_damaged_from_its_first_frame_on_is_refused():
    content = bytearray(whole("flac"))
    first = content.index(b"\xff\xf8") + 20
    content[first : first + 300] = bytes(300)
    with pytest.raises(Unreadable, match=r"damaged after 0\.00 s of audio"):
        heard(bytes(content))


def test_bytes_between_the_frames_of_a_flac_cost_no_sound():
    content = whole("flac", 6.0)
    frames = [at for at in range(len(content)) if flac._frame(content[at : at + 16], at, content[8:42])]
    half = frames[len(frames) // 2]
    assert heard(content[:half] + b"junk" * 300 + content[half:]) == (6.0, [DAMAGED])


def test_pages_of_an_ogg_stream_without_its_first_page_are_told():
    content, other = whole("vorbis", 6.0), written(sound(seed=3), 16000, "OGG", "VORBIS")
    places = [at for at in range(len(content)) if content.startswith(b"OggS", at)]
    seconds, kinds = heard(other + content[places[3] :])
    assert kinds == [DAMAGED] and seconds == pytest.approx(SECONDS, abs=0.06)


def test_an_id3_tag_that_says_too_much_hides_no_frame(tmp_path):
    lying = b"ID3\4\0\0\x7f\x7f\x7f\x7f"
    assert heard(lying + whole("mp3")) == (SECONDS, [DAMAGED])
    with pytest.raises(Unreadable, match="cannot be decoded \\(the decoder finds no frame in it\\)"):
        (tmp_path / "a.mp3").write_bytes(lying + bytes(3000))
        open_recording(tmp_path / "a.mp3")


def test_a_count_of_frames_that_includes_its_own_frame_is_no_fault():
    content = bytearray(whole("mp3"))
    at = content.index(b"Xing") + 8
    struct.pack_into(">I", content, at, len(mp3_frames(content)))
    assert heard(bytes(content))[1] == []
    last = mp3_frames(bytes(content))[-2]
    assert heard(bytes(content[:last]))[1] == [TRUNCATED]


def test_an_mp3_whose_first_frames_are_small_is_heard_to_its_end():
    """A decoder estimates the number of frames from the first, and stops there."""
    content = written(sound(6.0), 16000, "MP3", "MPEG_LAYER_III")
    uncounted = content[mp3_frames(content)[0] :]
    assert heard(uncounted)[0] == pytest.approx(6.0, abs=0.1)


def test_pages_of_an_ogg_that_are_missing_in_the_middle_are_told():
    content = whole("vorbis", 6.0)
    places = [at for at in range(len(content)) if content.startswith(b"OggS", at)]
    assert len(places) > 5
    assert DAMAGED in heard(content[: places[3]] + content[places[4] :])[1]
    assert DAMAGED in heard(content[: places[3]] + b"junk" + content[places[3] :])[1]
    assert heard(content[: places[-1]])[1] == [TRUNCATED]
    assert set(heard(content[: places[4] - 50] + whole("opus"))[1]) == {TRUNCATED, DAMAGED}


def test_a_decoder_that_stops_early_is_noticed(monkeypatch):
    def stops(self, *arguments, **options):
        return np.zeros((0, 1), np.float32)

    monkeypatch.setattr(soundfile.SoundFile, "read", stops)
    assert heard(whole("wav")) == (0.0, [TRUNCATED])


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_a_rate_that_nothing_has_is_refused(rate):
    content = bytearray(whole("wav"))
    struct.pack_into("<I", content, 24, rate)
    with pytest.raises(Unreadable, match=rf"its header says {rate} Hz, expected 1000 to 768000"):
        heard(bytes(content))


def test_what_is_no_plain_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    wanted = {"pipe": "a pipe or device", "empty": "0 bytes", "none": "no such file", ".": "a folder", "\0": "no such"}
    for name, problem in wanted.items():
        with pytest.raises(Unreadable, match=problem):
            open_recording(f"{tmp_path}/{name}")
    with pytest.raises(Unreadable, match="cannot be read"):
        open_recording("a" * 5000)


def test_a_changed_file_is_looked_at_again(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(whole("wav"))
    assert not read_audio(path, 0.0, None).remarks
    path.write_bytes(whole("wav")[:-2000])
    assert [remark.kind for remark in read_audio(path, 0.0, None).remarks] == [TRUNCATED]


def test_a_format_that_libsndfile_does_not_know_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "is_installed", lambda module: False)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    with pytest.raises(Unreadable, match=r"for m4a, webm, aac and others run: pip install '\.\[audio\]'"):
        open_recording(tmp_path / "a.m4a")
    with pytest.raises(Unreadable, match="wav, flac, ogg, opus and mp3 can"):  # libsndfile alone would read it
        heard(written(sound(), 16000, "VOC", "PCM_16"))


def _crc8(raw: bytes) -> int:
    crc = 0
    for byte in raw:
        for bit in range(7, -1, -1):
            crc = (crc << 1 & 0xFF) ^ (7 if (crc >> 7 ^ byte >> bit) & 1 else 0)
    return crc


def _flac_of_headers(count: int) -> bytes:
    """A FLAC file of frames that are nothing but their headers."""
    facts = (16000 << 44 | 15 << 36 | 80000).to_bytes(8, "big")
    header = b"\xff\xf8\xc9\x18\x00"
    begin = b"fLaC\x80\x00\x00\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + facts + bytes(16)
    return begin + (header + bytes([_crc8(header)])) * count


LOOKS_LIKE = {
    "beginnings of FLAC": b"fLaC" * 2_000_000,
    "headers of FLAC frames": _flac_of_headers(100_000),
    "blocks of FLAC metadata": b"fLaC\x00\x00\x00\x22" + bytes(40_000_000),
    "beginnings of Ogg pages": b"OggS" * 500_000,
    "Ogg pages in each other": (b"OggS\0\0" + bytes(20) + b"\xff" + b"\xff" * 255) * 4000,
    "bytes of MPEG headers": b"ID3\4\0\0\0\0\0\0" + b"\xff\x00" * 5_000_000,
    "headers of MPEG frames": b"ID3\4\0\0\0\0\0\0" + b"\xff\xfb\x90\x00" * 200_000,
}


@pytest.mark.parametrize("kind", LOOKS_LIKE)
def test_a_file_of_what_looks_like_audio_is_done_with_soon(kind):
    begin = time.process_time()
    inspect(io.BytesIO(LOOKS_LIKE[kind]))
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("kind", ["flac", "vorbis", "mp3", "wav"])
def test_a_sparse_file_is_done_with_soon(kind, tmp_path):
    path = tmp_path / "sparse"
    path.write_bytes(whole(kind))
    try:
        os.truncate(path, 20 << 30)
        if os.stat(path).st_blocks > 10_000:
            pytest.skip("the disk has no sparse files")
    except OSError:
        pytest.skip("the disk has no files of this size")
    begin = time.process_time()
    with open_recording(path) as recording:
        assert sum(map(len, recording.blocks())) / recording.rate == pytest.approx(seconds_of(kind), abs=1e-3)
        # of FLAC the end is looked for in the last GiB alone
        assert [remark.kind for remark in recording.remarks] == ([UNCOUNTED] if kind == "flac" else [])
    with open(path, "r+b") as file:
        file.seek(10 << 30)
        file.write(b"something")
    with open_recording(path) as recording:
        assert [remark.kind for remark in recording.remarks] in ([UNCOUNTED], [DAMAGED])
    assert time.process_time() - begin < 6


def test_a_file_of_zeros_alone_is_refused_soon(tmp_path):
    with open(tmp_path / "zeros.mp3", "wb") as file:
        file.truncate(1 << 30)
    begin = time.process_time()
    with pytest.raises(Unreadable, match="holds nothing but zeros, expected audio"):
        open_recording(tmp_path / "zeros.mp3")
    assert time.process_time() - begin < 3


def test_a_page_of_ogg_that_holds_the_mark_of_a_page_is_known_by_its_checksum():
    content = whole("vorbis")
    last = content.rindex(b"OggS")
    assert ogg._is_sound(content[last:]) and not ogg._is_sound(content[last:-1] + bytes([content[-1] ^ 1]))


def test_more_recordings_than_can_be_open_are_refused():
    wav = written(np.full((2, 1), 0.1), 16000)
    with pytest.raises(Unreadable, match="1500 recordings that were joined, expected 250 at most"):
        heard(wav * 1500)


def test_samples_that_are_no_number_in_two_channels_are_one_sentence(recwarn):
    samples = sound(channels=2)
    samples[100] = np.inf, -np.inf
    with pytest.raises(Unreadable, match="not a finite number"):
        heard(written(samples, 16000, "WAV", "FLOAT"))
    assert not recwarn.list
