import numpy as np
import pytest
import soundfile

from diminuendo.data.audio import read_audio, to_pcm16, trim_silence
from tests.factories.audio import strongest, tone


@pytest.mark.parametrize(
    ("extension", "format_", "subtype", "rate"),
    [
        ("wav", "WAV", "PCM_16", 22050),
        ("wav", "WAV", "FLOAT", 16000),
        ("flac", "FLAC", "PCM_24", 44100),
        ("ogg", "OGG", "VORBIS", 32000),
        ("opus", "OGG", "OPUS", 48000),
        ("mp3", "MP3", "MPEG_LAYER_III", 44100),
    ],
)
def test_formats_and_channels(tmp_path, extension, format_, subtype, rate):
    left, right = 0.4 * tone(440, rate), 0.2 * tone(440, rate)
    path = tmp_path / f"stereo.{extension}"
    soundfile.write(path, np.stack([left, right], 1), rate, format=format_, subtype=subtype)
    audio = read_audio(path, 0.0, None)
    samples, found = audio.samples, audio.rate
    assert not audio.remarks
    assert found == rate and samples.ndim == 1
    assert len(samples) / rate == pytest.approx(1.0, abs=0.06)
    hertz, decibels = strongest(samples, rate)
    assert hertz == pytest.approx(440, abs=2)
    assert decibels == pytest.approx(20 * np.log10(0.3), abs=0.6)


def test_a_part_of_a_file_and_a_part_beyond_its_end(tmp_path):
    ramp = np.arange(8000) / 8192
    soundfile.write(tmp_path / "ramp.wav", ramp, 8000, subtype="FLOAT")
    part = read_audio(tmp_path / "ramp.wav", 0.25, 0.5).samples
    np.testing.assert_allclose(part, ramp[2000:6000], atol=1e-6)
    assert len(read_audio(tmp_path / "ramp.wav", 0.75, 1.0).samples) == 2000
    assert len(read_audio(tmp_path / "ramp.wav", 5.0, 1.0).samples) == 0


def test_pcm_clips_instead_of_wrapping_round():
    assert to_pcm16(np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])).tolist() == [
        -32768,
        -32768,
        0,
        16384,
        32767,
        32767,
    ]


def test_trimming_cuts_and_pads_to_the_same_silence():
    sound = np.full(500, 0.5, np.float32)
    long = np.concatenate([np.zeros(900), sound, np.zeros(900)]).astype(np.float32)
    for samples in (long, sound):
        trimmed = trim_silence(samples, 1000, keep_seconds=0.1)
        assert len(trimmed) == 700
        assert not trimmed[:100].any() and not trimmed[-100:].any() and trimmed[100:600].all()
    assert len(trim_silence(np.zeros(100, np.float32), 1000, 0.1)) == 0
