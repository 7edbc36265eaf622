"""A manifest's recordings: what `transcribe` warns of is refused in a corpus, or told."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from diminuendo.data.loading import Loaded, Remarks, load_recording
from diminuendo.data.manifest import Entry
from diminuendo.data.reading.remark import CANCELLED, CLIPPED, CONSTANT, TRUNCATED, UNCOUNTED
from tests.factories.audio_files import (
    SECONDS,
    UNCOUNTED_MP3,
    cancelling,
    flac_without_length,
    sound,
    wav_that_states,
    whole,
    written,
)

HUGE_RATE = whole("wav")[:24] + struct.pack("<I", 2**31 - 1) + whole("wav")[28:]


def load(folder: Path, content: bytes, duration: float = SECONDS, offset: float | None = None):
    path = folder / "clip"
    path.write_bytes(content)
    return load_recording(Entry("train.jsonl", 3, "id", path, offset, duration, "hello", {}), 16000)


@pytest.mark.parametrize("content", [flac_without_length(), whole(UNCOUNTED_MP3), whole("opus")])
def test_what_can_be_heard_whole_is_used(tmp_path, content):
    found = load(tmp_path, content)
    assert isinstance(found, Loaded) and len(found.samples) == pytest.approx(SECONDS * 16000, abs=1600)
    assert not found.remarks


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (whole("mp3")[:-900], TRUNCATED, "MPEG frames that it counts are there"),
        (whole("vorbis")[:-900], TRUNCATED, "no page that ends it"),
        (whole("flac")[:-900], TRUNCATED, "s it counts"),
        (whole("wav")[:-900], TRUNCATED, "its header counts"),
        (wav_that_states(data=0), UNCOUNTED, "counts no samples"),
        (written(cancelling() / 2, 16000), CANCELLED, "cancel each other in 100 %"),
        (written(sound() * 9000, 16000, "WAV", "FLOAT"), "audio out of range", "divide by 32768"),
        (written(np.full(32000, 0.25), 16000), CONSTANT, "every sample is 0.25"),
        (written(np.zeros(32000), 16000), "silent audio", "every sample is zero"),
        (written(np.zeros(0), 16000), "empty audio", "no samples"),
        (HUGE_RATE, "not audio", "2147483647 Hz"),
        (written(sound(rate=64013), 64013), "odd rate", "too little in common with 16000 Hz"),
        (whole("wav", 4.0), "wrong duration", "duration: 2 s, but"),
    ],
)
def test_what_is_refused(tmp_path, content, kind, message):
    found = load(tmp_path, content)
    assert isinstance(found, tuple) and found[0] == kind and message in found[1], found
    assert str(tmp_path / "clip") in found[1]


def test_a_part_beyond_the_end_is_refused_before_anything_is_decoded(tmp_path):
    assert load(tmp_path, whole("flac"), offset=1.5)[0] == "beyond the end"
    assert load(tmp_path, whole("flac"), offset=1e308)[0] == "beyond the end"
    assert len(load(tmp_path, whole("flac"), duration=1.0, offset=0.5).samples) == 16000


def test_clipping_is_told_with_the_first_recording_and_their_number(tmp_path):
    found = load(tmp_path, written(np.clip(sound() * 9, -1, 1), 16000))
    assert [remark.kind for remark in found.remarks] == [CLIPPED]
    remarks, said = Remarks(), []
    entry = Entry("train.jsonl", 3, "id", tmp_path / "clip", None, SECONDS, "hello", {})
    for _ in range(2):
        remarks.add(entry, found.remarks)
    remarks.tell(said.append)
    assert len(said) == 1 and said[0].startswith(
        f"warning: 2 × clipped audio, the first at train.jsonl:3: {entry.path}"
    )
    assert said[0].endswith("% of its samples are at full scale")
