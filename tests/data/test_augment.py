import numpy as np
import pytest
import torch

from diminuendo.data.augmentation import add_noise, augment_waveform, change_speed, coloured_noise
from diminuendo.features.spec_augment import spec_augment
from tests.factories.models import AUGMENTATION, NO_AUGMENTATION

RATE = 8000


def tone(hz=500.0, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def snr_db(clean, mixed):
    return 10 * np.log10(np.mean(clean**2) / np.mean((mixed - clean) ** 2))


@pytest.mark.parametrize("asked", [-5.0, 0.0, 12.5, 30.0])
@pytest.mark.parametrize("colour", [0.0, 0.5, 1.0])
def test_noise_is_as_loud_as_asked(asked, colour):
    noise = coloured_noise(RATE, colour, np.random.default_rng(1))
    mixed = add_noise(tone(), noise, asked)
    assert mixed.dtype == np.float32
    assert snr_db(tone(), mixed) == pytest.approx(asked, abs=0.05)


def test_silence_is_not_made_noisy():
    silence, noise = np.zeros(100, np.float32), np.ones(100, np.float32)
    assert (add_noise(silence, noise, 10) == 0).all()
    assert (add_noise(tone(), np.zeros(RATE, np.float32), 10) == tone()).all()


@pytest.mark.parametrize("length", [1, 7, 8000, 10007])
@pytest.mark.parametrize("colour", [0.0, 0.5, 1.0])
def test_noise_of_any_length_is_finite(length, colour):
    noise = coloured_noise(length, colour, np.random.default_rng(0))
    assert noise.shape == (length,) and noise.dtype == np.float32 and np.isfinite(noise).all()


def test_brown_noise_is_lower_than_pink_and_pink_than_white():
    def centre(colour):
        power = np.abs(np.fft.rfft(coloured_noise(1 << 14, colour, np.random.default_rng(0)))) ** 2
        return (power * np.arange(power.size)).sum() / power.sum()

    assert centre(1.0) < centre(0.5) < centre(0.0)


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.25])
def test_speed_changes_length_and_pitch(speed):
    fast = change_speed(tone(500.0), speed)
    assert fast.size == pytest.approx(RATE / speed, abs=1)
    peak = np.abs(np.fft.rfft(fast * np.hanning(fast.size))).argmax() * RATE / fast.size
    assert peak == pytest.approx(500 * speed, abs=5)
    assert np.abs(fast).max() == pytest.approx(0.3, abs=0.03)


def test_speed_1_changes_nothing():
    waveform = tone()
    assert change_speed(waveform, 1.0) is waveform


def babble(length):
    return np.resize(tone(900.0), length)


def augmented(seed, config=AUGMENTATION):
    return augment_waveform(tone(), config, np.random.default_rng(seed), babble)


def test_augmentation_is_a_function_of_its_generator():
    assert np.array_equal(augmented(1), augmented(1))
    assert augmented(1).shape != augmented(2).shape or not np.array_equal(augmented(1), augmented(2))


def test_nothing_asked_nothing_done():
    assert np.array_equal(augmented(0, NO_AUGMENTATION), tone())


def test_gain_and_speed_stay_within_their_limits():
    config = NO_AUGMENTATION.model_copy(update={"gain_db": (-6.0, 6.0), "speed": (0.9, 1.0, 1.1)})
    waveforms = [augmented(seed, config) for seed in range(60)]
    peaks = [np.abs(w).max() / 0.3 for w in waveforms]
    assert 0.49 < min(peaks) < 0.6 and 1.7 < max(peaks) < 2.05
    assert len({w.size for w in waveforms}) == 3


def test_samples_never_leave_the_range():
    config = NO_AUGMENTATION.model_copy(update={"gain_db": (40.0, 40.0)})
    assert np.abs(augmented(0, config)).max() == 1


def test_every_kind_of_noise_is_drawn():
    heard = []
    config = NO_AUGMENTATION.model_copy(update={"noise_probability": 1.0})
    for seed in range(40):
        augment_waveform(tone(), config, np.random.default_rng(seed), lambda n: heard.append(n) or babble(n))
    assert 3 < len(heard) < 20  # babble is one kind of four


MASKING = AUGMENTATION.model_copy(
    update={"time_masks": 2, "time_mask_fraction": 0.2, "mel_masks": 2, "mel_mask_bands": 5}
)


def masked(seed, frames=(50, 20), config=MASKING):
    features = torch.ones(2, 12, 50)
    return spec_augment(features, torch.tensor(frames), config, np.random.default_rng(seed)), features


def test_masks_are_stretches_of_time_and_of_bands():
    found, features = masked(0)
    assert (features == 1).all()
    for row in found:
        lost_frames = (row == 0).all(dim=0)
        lost_bands = (row == 0).all(dim=1)
        assert torch.equal(row == 0, lost_bands[:, None] | lost_frames[None, :])
        assert lost_bands.sum() <= 10 and lost_frames.sum() <= 20


def test_masks_reach_every_frame_and_band_and_no_further_than_the_utterance():
    lost = sum((masked(seed)[0] == 0) for seed in range(300))
    bands, times = MASKING.model_copy(update={"time_masks": 0}), MASKING.model_copy(update={"mel_masks": 0})
    frames = sum((masked(seed, config=times)[0] == 0).all(dim=1).int() for seed in range(300))
    mels = sum((masked(seed, config=bands)[0] == 0).all(dim=2).int() for seed in range(300))
    assert lost.max() > 0
    assert (frames[0] > 0).all() and (mels > 0).all()
    assert (frames[1, :20] > 0).all() and (frames[1, 20:] == 0).all()


def test_masks_repeat_with_their_generator_and_may_be_none():
    assert torch.equal(masked(4)[0], masked(4)[0]) and not torch.equal(masked(4)[0], masked(5)[0])
    assert torch.equal(masked(0, config=NO_AUGMENTATION)[0], torch.ones(2, 12, 50))


def test_one_frame_can_be_masked():
    found, _ = masked(0, frames=(1, 1))
    assert torch.isfinite(found).all()
