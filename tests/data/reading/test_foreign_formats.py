"""Formats that PyAV reads, where it is installed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diminuendo.data.audio import read_audio
from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.remark import READER, TRUNCATED, UNCHECKED, UNCOUNTED
from tests.factories.audio_files import sound

av = pytest.importorskip("av")

RATE = 48000
KINDS = {"a.m4a": ("aac", {"movflags": "faststart"}), "a.aac": ("aac", {}), "a.webm": ("libopus", {})}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    for name, (codec, options) in KINDS.items():
        with av.open(str(folder / name), "w", format="adts" if name == "a.aac" else None, options=options) as out:
            stream = out.add_stream(codec, rate=RATE)
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(sound(2.0, RATE).T.copy(), format="fltp", layout="mono")
            frame.sample_rate = RATE
            resampler = av.AudioResampler(format=stream.format, layout="mono", rate=RATE, frame_size=960)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_they_are_heard_and_it_is_said_by_whom(folder, name):
    audio = read_audio(folder / name, 0.0, None)
    assert audio.rate == RATE and len(audio.samples) == pytest.approx(2 * RATE, abs=0.05 * RATE)
    assert [remark.kind for remark in audio.remarks] == [READER] and "PyAV" in audio.remarks[0].message
    part = read_audio(folder / name, 0.5, 1.0)
    np.testing.assert_allclose(part.samples, audio.samples[RATE // 2 : RATE // 2 + RATE], atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.93, 0.99])
def test_they_are_not_cut_in_silence(folder, tmp_path, name, share):
    content = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    try:
        audio = read_audio(tmp_path / name, 0.0, None)
    except Unreadable:
        assert share < 0.2
        return
    missing = 2 * RATE - len(audio.samples)  # a container's length is trusted to 0.1 s
    assert missing < 0.1 * RATE or TRUNCATED in [remark.kind for remark in audio.remarks]


def test_two_mp4_files_that_were_joined_are_not_heard_as_one_in_silence(folder, tmp_path):
    content = (folder / "a.m4a").read_bytes()
    (tmp_path / "a.m4a").write_bytes(content + content)
    remarks = read_audio(tmp_path / "a.m4a", 0.0, None).remarks
    assert [remark.kind for remark in remarks] == [READER, UNCOUNTED] and f"byte {len(content)}" in remarks[1].message


def test_of_a_format_that_states_no_length_it_is_said(tmp_path):
    soundfile.write(tmp_path / "a.pvf", sound(1.0), 16000, format="PVF", subtype="PCM_16")
    content = (tmp_path / "a.pvf").read_bytes()
    (tmp_path / "a.pvf").write_bytes(content[: len(content) // 2])
    assert UNCHECKED in [remark.kind for remark in read_audio(tmp_path / "a.pvf", 0.0, None).remarks]


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
    ],
    ids=["hls", "concat"],
)
def test_a_file_that_names_others_is_not_followed(folder, tmp_path, playlist):
    (tmp_path / "a.aac").write_bytes((folder / "a.aac").read_bytes())
    (tmp_path / "list.m3u8").write_text(playlist.format(other=tmp_path / "a.aac"))
    (tmp_path / "near.m3u8").write_text(playlist.format(other="a.aac"))
    for name in ("list.m3u8", "near.m3u8"):
        with pytest.raises(Unreadable, match="cannot be decoded"):
            read_audio(tmp_path / name, 0.0, None)


@pytest.mark.parametrize("name", KINDS)
def test_any_bytes_are_heard_or_refused(folder, tmp_path, name):
    rng = random.Random(name)
    for _ in range(25):
        content = bytearray((folder / name).read_bytes())
        for _ in range(rng.randint(1, 12)):
            content[rng.randrange(400)] = rng.randrange(256)
        (tmp_path / name).write_bytes(content)
        try:
            read_audio(tmp_path / name, 0.0, None)
        except Unreadable as error:
            assert "\n" not in str(error)
