import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import ParakeetFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from diminuendo.config.frontend import NemoLogMelConfig
from diminuendo.features.nemo_log_mel import NemoLogMel

# As a checkpoint's preprocessor_config.json may have them, keys under the names of ours.
VARIANTS = [
    ({}, {}),
    ({"feature_size": 128}, {"mels": 128}),
    ({"n_fft": 400, "win_length": 320, "hop_length": 80}, {"transform": 400, "window": 320, "hop": 80}),
    ({"n_fft": 512, "win_length": 401, "preemphasis": 0.5}, {"window": 401, "preemphasis": 0.5}),
    ({"preemphasis": None, "win_length": 512}, {"preemphasis": 0.0, "window": 512}),
]


def noise(samples, seed=0):
    return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def batch_of(*lengths):
    waveform = torch.zeros(len(lengths), max(lengths))
    for row, length in zip(waveform, lengths):
        row[:length] = torch.from_numpy(noise(length, seed=length))
    return waveform, torch.tensor(lengths)


def reference(waveform, rate, config):
    """Features in double precision, by torch's transform."""
    x = waveform.double()
    x = torch.cat([x[:1], x[1:] - config.preemphasis * x[:-1]])
    hann = torch.hann_window(config.window, periodic=False, dtype=torch.float64)
    keys = {"win_length": config.window, "window": hann, "pad_mode": "constant", "return_complex": True}
    power = torch.stft(x, config.transform, config.hop, **keys)[:, : len(x) // config.hop].abs().square()
    keys = {"norm": "slaney", "mel_scale": "slaney"}
    filters = mel_filter_bank(config.transform // 2 + 1, config.mels, 0.0, rate / 2, rate, **keys)
    log_mel = torch.log(torch.from_numpy(filters).T @ power + 2**-24)
    return (log_mel - log_mel.mean(1, keepdim=True)) / (log_mel.std(1, keepdim=True) + 1e-5)


@pytest.mark.parametrize("ours", [ours for _, ours in VARIANTS])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_features_are_those_of_the_fourier_transform(ours, rate):
    config = NemoLogMelConfig(**ours)
    for samples in (4000, 16001):
        waveform, lengths = batch_of(samples)
        features, _ = NemoLogMel(config, rate)(waveform, lengths)
        assert torch.allclose(features[0].double(), reference(waveform[0], rate, config), atol=1e-4)


@pytest.mark.parametrize(("theirs", "ours"), VARIANTS)
@pytest.mark.parametrize("rate", [16000, 8000])
def test_features_are_those_of_parakeets_extractor(theirs, ours, rate):
    extractor = ParakeetFeatureExtractor(**{"sampling_rate": rate, **theirs})
    waveform, lengths = batch_of(16000, 7001, 1999, 15999)
    audio = [row[:length].numpy() for row, length in zip(waveform, lengths.tolist())]
    expected = extractor(audio, sampling_rate=rate, return_tensors="pt")
    frontend = NemoLogMel(NemoLogMelConfig(**ours), rate)
    features, frames = frontend(waveform, lengths)
    assert frames.tolist() == expected.attention_mask.sum(1).tolist() == frontend.frames(lengths).tolist()
    wanted = expected.input_features[:, : features.shape[2]].transpose(1, 2)
    assert torch.allclose(features, wanted, atol=3e-4)  # single precision; the other one's errors are the larger ones
    for row, valid in zip(features, frames):
        assert (row[:, valid:] == 0).all()


def test_a_padded_batch_equals_its_utterances():
    frontend = NemoLogMel(NemoLogMelConfig(), 16000)
    waveform, lengths = batch_of(16000, 1, 330, 7001)
    features, frames = frontend(waveform, lengths)
    for row, (length, valid) in enumerate(zip(lengths.tolist(), frames.tolist())):
        alone, (count,) = frontend(waveform[row : row + 1, :length], lengths[row : row + 1])
        assert count == valid and alone.isfinite().all()
        assert torch.allclose(features[row, :, :valid], alone[0], atol=2e-4)


def test_silence_and_a_single_frame_are_finite():
    frontend = NemoLogMel(NemoLogMelConfig(), 16000)
    for waveform, lengths in (batch_of(1, 200), (torch.zeros(1, 8000), torch.tensor([8000]))):
        assert (frontend(waveform, lengths)[0] == 0).all()


def test_a_window_longer_than_the_transform_is_refused():
    with pytest.raises(ValidationError, match="600 samples do not fit into a transform of 512"):
        NemoLogMelConfig(window=600)
