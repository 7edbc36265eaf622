"""Resampling against what a tone really is at the other rate, and in blocks against in one piece."""

import numpy as np
import pytest

from diminuendo.data.resample import Resampler, resample
from tests.factories.audio import strongest, tone


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 15999])
def test_a_tone_keeps_its_frequency_level_phase_and_length(rate):
    heard = resample(tone(1000, rate), rate, 16000)
    assert len(heard) == 16000 and heard.dtype == np.float32
    hertz, decibels = strongest(heard, 16000)
    assert hertz == pytest.approx(1000, abs=1.0)
    assert decibels == pytest.approx(0, abs=0.05)
    middle = slice(2000, 14000)  # no delay, away from the edges
    np.testing.assert_allclose(heard[middle], tone(1000, 16000)[middle], atol=2e-3)


def test_what_the_new_rate_cannot_carry_does_not_come_back_as_another_tone():
    for hertz in (8100, 9000, 12000, 20000):
        heard = resample(tone(hertz, 44100), 44100, 16000)[1000:-1000]
        assert np.abs(heard).max() < 1e-3, f"{hertz} Hz is heard at {strongest(heard, 16000)}"


def test_raising_the_rate_adds_no_mirror_tones():
    heard = resample(tone(3000, 8000), 8000, 16000)[1000:-1000]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    above = spectrum[len(spectrum) * 4200 // 8000 :]
    assert above.max() < 1e-4 * spectrum.max()


def test_nothing_to_resample():
    assert len(resample(np.zeros(0, np.float32), 8000, 16000)) == 0
    same = tone(100, 8000)
    assert resample(same, 8000, 8000) is same


@pytest.mark.parametrize("rates", [(8000, 16000), (44100, 16000), (48000, 8000), (11025, 8000), (22050, 16000)])
def test_a_tone_close_to_the_lower_nyquist_frequency_is_kept(rates):
    rate, new_rate = rates
    hertz = 0.85 * min(rates) / 2
    found, expected = resample(tone(hertz, rate), rate, new_rate), tone(hertz, new_rate)
    middle = slice(new_rate // 10, -new_rate // 10)
    assert np.abs(found - expected)[middle].max() < 1e-3


@pytest.mark.parametrize("rates", [(44100, 16000), (48000, 8000), (11025, 8000), (22050, 16000)])
def test_what_would_fold_back_is_80_db_down(rates):
    rate, new_rate = rates
    found = resample(tone(1.02 * new_rate / 2, rate), rate, new_rate)
    assert np.abs(found[new_rate // 10 : -new_rate // 10]).max() < 1e-4


@pytest.mark.parametrize("rates", [(8000, 16000), (44100, 16000), (16000, 48000), (48000, 8000), (15999, 16000)])
@pytest.mark.parametrize("block", [1, 37, 1000, 9999])
def test_a_stream_gives_the_same_samples_in_every_bit(rates, block):
    samples = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    stream = Resampler(*rates)
    pieces = [stream.push(samples[at : at + block]) for at in range(0, len(samples), block)]
    np.testing.assert_array_equal(np.concatenate([*pieces, stream.finish()]), resample(samples, *rates))


@pytest.mark.parametrize("length", [0, 1, 2, 100])
def test_short_input(length):
    stream, samples = Resampler(48000, 16000), np.ones(length, np.float32)
    found = np.concatenate([stream.push(samples), stream.finish()])
    assert len(found) == -(-length // 3) == len(resample(samples, 48000, 16000))


def test_a_stream_holds_back_no_more_than_the_kernel_and_a_period():
    stream = Resampler(44100, 16000)
    assert len(stream.push(np.zeros(4410, np.float32))) / 16000 > 0.1 - 0.01 - 187 / 44100  # s


def test_a_constant_keeps_its_value():
    found = resample(np.full(8000, 0.25, np.float32), 8000, 16000)
    np.testing.assert_allclose(found[2000:-2000], 0.25, atol=1e-4)


def test_a_stream_at_the_same_rate_changes_nothing():
    samples, stream = tone(100, 8000), Resampler(8000, 8000)
    assert stream.push(samples) is samples and not len(stream.finish())
