import numpy as np
import pytest
import torch

from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.features.log_mel import LOG_FLOOR, VARIANCE_FLOOR, LogMel, geometry_of
from diminuendo.features.mel import hz_to_mel, mel_to_hz

WIDE = FrontendConfig(mels=80, window_seconds=0.025, hop_seconds=0.01, low_hz=20.0, high_hz=7600.0)
TELEPHONE = FrontendConfig(mels=40, window_seconds=0.025, hop_seconds=0.01, low_hz=60.0, high_hz=3800.0)
ODD = FrontendConfig(mels=20, window_seconds=0.0225, hop_seconds=0.0075, low_hz=50.0, high_hz=7000.0)  # 360 = 18 × 20
RATES = [(WIDE, 16000), (TELEPHONE, 8000), (ODD, 16000)]
LENGTHS = [1, 399, 400, 401, 16000]


def noise(samples, seed=0):
    return torch.from_numpy(0.2 * np.random.default_rng(seed).standard_normal(samples)).float()


def reference(config, rate, waveform):
    """Features as the textbook has them: torch's FFT, triangular filters over its bins, in double precision."""
    window, hop = round(config.window_seconds * rate), round(config.hop_seconds * rate)
    padded = torch.nn.functional.pad(waveform.double(), (0, max(0, window - len(waveform))))
    hann = torch.hann_window(window, periodic=True, dtype=torch.float64)
    power = torch.fft.rfft(padded.unfold(0, window, hop) * hann).abs().square()  # [T, bins]
    edges = mel_to_hz(np.linspace(hz_to_mel(config.low_hz), hz_to_mel(config.high_hz), config.mels + 2))
    hz = np.fft.rfftfreq(window, 1 / rate)
    filters = np.zeros((config.mels, len(hz)))
    for m in range(config.mels):
        left, centre, right = edges[m : m + 3]
        filters[m] = np.clip(np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre)), 0, None)
    log_mel = torch.log(power @ torch.from_numpy(filters).T + LOG_FLOOR).T  # [M, T]
    centred = log_mel - log_mel.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean() + VARIANCE_FLOOR).sqrt()


@pytest.mark.parametrize(("config", "rate"), RATES)
@pytest.mark.parametrize("samples", LENGTHS)
def test_features_are_those_of_the_fourier_transform(config, rate, samples):
    waveform = noise(samples)
    features, frames = LogMel(config, rate)(waveform[None], torch.tensor([samples]))
    expected = reference(config, rate, waveform)
    assert frames.tolist() == [expected.shape[1]] == [features.shape[2]]
    assert torch.allclose(features[0].double(), expected, atol=2e-3)


@pytest.mark.parametrize(("config", "rate"), RATES)
def test_power_is_complete(config, rate):
    """Every bin of the transform is among the outputs exactly once, so Parseval's theorem holds."""
    g = geometry_of(config, rate)
    counted = sorted(g.bins[g.counted > 0].tolist())
    assert counted == list(range(g.window // 2 + 1))


@pytest.mark.parametrize(("config", "rate"), RATES)
def test_a_padded_batch_equals_its_utterances(config, rate):
    frontend, lengths = LogMel(config, rate), torch.tensor([16000, 399, 7001, 401])
    waveform = torch.zeros(4, 16000)
    for row, length in zip(waveform, lengths):
        row[:length] = noise(int(length), seed=int(length))
    features, frames = frontend(waveform, lengths)
    for row, length, valid in zip(range(4), lengths.tolist(), frames.tolist()):
        alone, (count,) = frontend(waveform[row : row + 1, :length], lengths[row : row + 1])
        assert count == valid
        assert torch.allclose(features[row, :, :valid], alone[0], atol=1e-4)
        assert (features[row, :, valid:] == 0).all()


def test_silence_is_finite_and_small():
    features, _ = LogMel(WIDE, 16000)(torch.zeros(1, 8000), torch.tensor([8000]))
    assert features.abs().max() < 1e-3


def test_loudness_does_not_matter():
    waveform, lengths, frontend = noise(8000)[None], torch.tensor([8000]), LogMel(WIDE, 16000)
    assert torch.allclose(frontend(waveform, lengths)[0], frontend(waveform * 0.5, lengths)[0], atol=2e-2)


def test_a_tone_is_in_the_band_of_its_frequency():
    g = geometry_of(WIDE, 16000)
    tone = torch.sin(2 * torch.pi * 2000 * torch.arange(16000) / 16000)[None]
    frontend = LogMel(WIDE, 16000)
    bands = (frontend.filterbank @ frontend.power(tone)).mean(dim=2)[0]
    assert g.mel_edges[bands.argmax()] < 2000 < g.mel_edges[bands.argmax() + 2]


def test_bands_narrower_than_the_resolution_are_refused():
    with pytest.raises(UserError, match=r"frontend\.mels: 200 bands .* take fewer mels or a longer window"):
        geometry_of(WIDE.model_copy(update={"mels": 200}), 16000)


@pytest.mark.parametrize(
    ("rate", "window"),
    [(8000, 200), (16000, 400), (48000, 1200), (11025, 275), (22050, 550), (44100, 1092)],
)
def test_no_rate_makes_the_transform_dense(rate, window):
    """Windows are those of 25 ms where they share a divisor with the hop, else of some samples more or less."""
    narrow = WIDE.model_copy(update={"mels": 40, "high_hz": 3800.0})

    def per_second(rate: int) -> float:
        g = geometry_of(narrow, rate)
        return g._multiplications(g.columns) * rate / g.hop

    assert geometry_of(narrow, rate).window == window
    assert per_second(rate) < 2 * per_second(16000) * rate / 16000


def test_mel_scale_goes_both_ways():
    hz = np.array([0.0, 200.0, 999.0, 1000.0, 1001.0, 4000.0])
    assert mel_to_hz(hz_to_mel(hz)) == pytest.approx(hz)
    assert hz_to_mel(1000) == pytest.approx(15)
