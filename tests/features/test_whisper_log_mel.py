import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.features.whisper_log_mel import WhisperLogMel

# Bands, transform and hop as a checkpoint's preprocessor_config.json has them.
GEOMETRIES = [(80, 400, 160), (128, 400, 160), (40, 320, 80), (20, 320, 160), (30, 384, 200)]
LENGTHS = [1, 100, 159, 200, 201, 319, 320, 401, 7777, 16000]


def frontend_of(mels=80, window=400, hop=160):
    return WhisperLogMel(WhisperLogMelConfig(mels=mels, window=window, hop=hop), 16000)


def speech(samples, seed=0):
    """Noise that is loudest in its middle, with silence in it."""
    noise = 0.3 * np.random.default_rng(seed).standard_normal(samples) * np.hanning(samples + 2)[1:-1]
    noise[samples // 8 : samples // 4] = 0
    return torch.from_numpy(noise.astype(np.float32))


def reference(waveform, mels, window, hop):
    """By torch's transform in double precision: zeros after the audio, the peak of its own frames."""
    frames = max(1, len(waveform) // hop)
    padded = torch.nn.functional.pad(waveform.double(), (0, 2 * window))
    hann = torch.hann_window(window, dtype=torch.float64)
    power = torch.stft(padded, window, hop, window=hann, return_complex=True)[:, :frames].abs().square()
    rates = {"sampling_rate": 16000, "norm": "slaney", "mel_scale": "slaney"}
    filters = mel_filter_bank(window // 2 + 1, mels, 0.0, 8000.0, **rates)
    log_mel = torch.log10((torch.from_numpy(filters).T @ power).clamp(min=1e-10))
    return (torch.maximum(log_mel, log_mel.max() - 8) + 4) / 4


@pytest.mark.parametrize(("mels", "window", "hop"), GEOMETRIES)
@pytest.mark.parametrize("samples", [7999, 16000, 48160])
def test_features_are_those_of_whispers_extractor(mels, window, hop, samples):
    extractor = WhisperFeatureExtractor(feature_size=mels, n_fft=window, hop_length=hop)
    audio = speech(samples)
    features, frames = frontend_of(mels, window, hop)(audio[None], torch.tensor([samples]))
    padded, alone = (
        extractor(audio.numpy(), sampling_rate=16000, padding=how, return_tensors="pt").input_features[0]
        for how in ("max_length", False)
    )
    assert frames.tolist() == [samples // hop] == [features.shape[2]]
    assert torch.allclose(features[0], padded[:, : samples // hop], atol=1e-4)
    # Without padding the extractor mirrors the end of the audio, which the last frames alone reach over.
    whole = (samples - window // 2) // hop + 1
    assert torch.allclose(features[0, :, :whole], alone[:, :whole], atol=1e-4)


@pytest.mark.parametrize(("mels", "window", "hop"), GEOMETRIES)
@pytest.mark.parametrize("samples", LENGTHS)
def test_audio_of_any_length_has_the_features_of_its_own_frames(mels, window, hop, samples):
    audio = torch.from_numpy(0.2 * np.random.default_rng(samples).standard_normal(samples)).float()
    features, frames = frontend_of(mels, window, hop)(audio[None], torch.tensor([samples]))
    assert frames.tolist() == [max(1, samples // hop)] == [features.shape[2]]
    assert torch.allclose(features[0].double(), reference(audio, mels, window, hop), atol=1e-4)


def test_a_padded_batch_equals_its_utterances():
    frontend, lengths = frontend_of(), torch.tensor([16000, 100, 7001, 401])
    waveform = torch.zeros(4, 16000)
    for row, length in zip(waveform, lengths.tolist()):
        row[:length] = speech(length, seed=length) * length / 1000  # other peaks
    features, frames = frontend(waveform, lengths)
    for row, (length, valid) in enumerate(zip(lengths.tolist(), frames.tolist())):
        alone, (count,) = frontend(waveform[row : row + 1, :length], lengths[row : row + 1])
        assert count == valid
        assert torch.allclose(features[row, :, :valid], alone[0], atol=1e-5)
        assert (features[row, :, valid:] == 0).all()


def test_the_peak_is_that_of_valid_frames():
    """A click at the end is loudest in the frame that begins after it, which is valid in no utterance."""
    frontend, waveform = frontend_of(), torch.zeros(1, 16000)
    waveform[0, :8000] = 1e-4 * speech(8000)
    waveform[0, 7999] = 1.0
    features, _ = frontend(waveform, torch.tensor([8000]))
    alone, _ = frontend(waveform[:, :8000], torch.tensor([8000]))
    assert torch.allclose(features[:, :, :50], alone, atol=1e-5)


def test_silence_is_at_the_floor():
    features, _ = frontend_of()(torch.zeros(1, 8000), torch.tensor([8000]))
    assert features == pytest.approx(-1.5)
