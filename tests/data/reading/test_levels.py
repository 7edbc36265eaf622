"""What the samples themselves tell."""

from __future__ import annotations

import io

import numpy as np
import pytest

from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.reader import open_recording
from diminuendo.data.reading.remark import CANCELLED, CLIPPED, CONSTANT
from tests.factories.audio_files import cancelling, sound, written


def remarks(samples: np.ndarray, subtype: str = "PCM_16", block_seconds: float = 10.0) -> dict[str, str]:
    with open_recording(io.BytesIO(written(samples, 16000, "WAV", subtype)), "it") as recording:
        for _ in recording.blocks(block_seconds):
            pass
        return {remark.kind: remark.message for remark in recording.remarks}


@pytest.mark.parametrize("block_seconds", [0.1, 10.0])
@pytest.mark.parametrize("factor", [1.0, 0.999, 0.9, 1.2])
def test_channels_that_cancel_are_told(factor, block_seconds):
    found = remarks(cancelling(factor) * 0.5, block_seconds=block_seconds)
    assert list(found) == [CANCELLED] and "in 100 % of the sound" in found[CANCELLED]


def test_channels_that_cancel_in_a_part_are_told_and_unrelated_ones_are_not():
    assert CANCELLED in remarks(cancelling(share=0.5))
    for channels in (2, 6):
        assert not remarks(sound(channels=channels))
    noise = np.random.default_rng(0).standard_normal((32000, 2)) * 0.1
    assert not remarks(noise)
    assert not remarks(np.stack([noise[:, 0], 0 * noise[:, 0]], axis=1))
    assert not remarks(np.zeros((16000, 2)))


@pytest.mark.parametrize(
    ("scale", "cause"),
    [
        (100.0, "8-bit whole numbers stored as floats; divide by 128"),
        (22000.0, "16-bit whole numbers stored as floats; divide by 32768"),
        (6e6, "24-bit whole numbers stored as floats; divide by 8388608"),
        (2e9, "32-bit whole numbers stored as floats; divide by 2147483648"),
        (1e20, "export the audio again"),
    ],
)
def test_floats_at_the_scale_of_whole_numbers_are_refused_with_the_cause(scale, cause):
    samples = sound()[:, 0]
    with pytest.raises(Unreadable, match=f"expected −1 to 1.*{cause}"):
        remarks(samples / np.abs(samples).max() * scale, "FLOAT")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 1])
def test_samples_that_are_no_numbers_are_refused_with_their_place(value, channel):
    samples = sound(channels=2)
    samples[4000, channel] = value
    with pytest.raises(Unreadable, match=r"not a finite number, at 0\.250 s"):
        remarks(samples, "FLOAT")


def test_doubles_beyond_what_a_float_can_hold_are_refused():
    with pytest.raises(Unreadable, match="not a finite number"):
        remarks(sound().astype(np.float64) * 1e300, "DOUBLE")


def test_the_share_of_clipped_samples_is_told():
    clipped = np.clip(sound() * 9, -1, 1)
    share = 100 * np.mean(np.abs(clipped) >= 0.999)
    assert remarks(clipped) == {CLIPPED: f"clipped: {share:.1f} % of its samples are at full scale"}
    rarely = sound()
    rarely[::500] = 1.0
    assert not remarks(rarely)


@pytest.mark.parametrize("value", [0.5, -0.25])
def test_a_constant_is_no_sound(value):
    assert list(remarks(np.full(16000, value))) == [CONSTANT]
    assert not remarks(np.zeros(16000))  # silence is
