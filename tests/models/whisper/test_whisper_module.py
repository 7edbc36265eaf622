"""Whisper's encoder in PyTorch, against that of ``transformers``."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration

from diminuendo.models.whisper import pretrained
from diminuendo.models.whisper.module import WhisperEncoderCTC, sinusoids
from tests.factories.models import speech_batch
from tests.factories.whisper import encoder_of, foreign_whisper, ours_of, tiny_whisper

VARIANTS = [
    {},
    {"d_model": 24, "encoder_attention_heads": 2, "encoder_ffn_dim": 40, "encoder_layers": 3},
    {"num_mel_bins": 128, "encoder_attention_heads": 1, "encoder_layers": 1},
]
FOLDER = os.environ.get("DIMINUENDO_WHISPER_FOLDER")


@torch.no_grad()
def last_states(model, features, frames):
    log_probs, lengths, states = model.encode(features, frames)
    normed = model.norm(states[-1])
    assert torch.allclose(log_probs, model.out(normed).log_softmax(-1), atol=1e-6)
    return normed, lengths


@pytest.mark.parametrize("keys", VARIANTS)
@pytest.mark.parametrize("frames", [1, 30, 127])
def test_states_are_those_of_whispers_encoder(keys, frames):
    theirs = foreign_whisper(frames, **keys)
    model = ours_of(theirs)
    features = torch.randn(2, model.record.frontend.mels, 2 * frames)
    found, lengths = last_states(model, features, torch.tensor([2 * frames] * 2))
    with torch.no_grad():
        expected = theirs.model.encoder(features).last_hidden_state
    assert lengths.tolist() == [frames] * 2
    assert (found - expected).abs().max() <= 1e-4


def test_utterances_of_a_batch_are_those_of_an_encoder_of_their_own_length():
    frames = [40, 3, 27]
    theirs = foreign_whisper()
    model = ours_of(theirs)
    features = torch.zeros(3, 20, 80)
    for row, length in zip(features, frames):
        row[:, : 2 * length] = torch.randn(20, 2 * length)
    found, lengths = last_states(model, features, 2 * torch.tensor(frames))
    assert lengths.tolist() == frames
    for row, length in enumerate(frames):
        with torch.no_grad():
            expected = encoder_of(length, theirs)(features[row : row + 1, :, : 2 * length]).last_hidden_state
        assert (found[row, :length] - expected[0]).abs().max() <= 1e-4


def test_padding_does_not_change_what_is_said():
    model = tiny_whisper()
    waveform, lengths = speech_batch(seconds=(0.5, 0.83, 0.017, 0.001))
    with torch.no_grad():
        log_probs, frames = model(waveform, lengths)
        for row, (length, count) in enumerate(zip(lengths.tolist(), frames.tolist())):
            alone, (own,) = model(waveform[row : row + 1, :length], lengths[row : row + 1])
            assert own == count == alone.shape[1]
            assert torch.allclose(log_probs[row, :count], alone[0], atol=1e-5)


def test_audio_of_more_than_thirty_seconds_is_heard():
    model = tiny_whisper(1)
    features = torch.randn(1, 12, 4000)
    with torch.no_grad():
        log_probs, (frames,), _ = model.encode(features, torch.tensor([4000]))
    assert frames == 2000 == log_probs.shape[1] and log_probs.isfinite().all()


def test_a_narrower_model_has_the_first_channels_of_the_sinusoids():
    x = torch.zeros(1, 9, 12)
    model = tiny_whisper(width=12, position_channels=16)
    assert torch.allclose(model.positions(x)[0] - model.positions.bias, sinusoids(9, 16)[:, :12], atol=1e-6)
    record = model.record
    assert record.with_width(6).position_channels == 16 and record.with_width(20).position_channels == 20
    assert record.frames_of(0.5) == (31, 16)
    assert tuple(model.frontend.frames(torch.tensor([2000])).tolist()) == (31,)


@pytest.mark.skipif(not FOLDER, reason="DIMINUENDO_WHISPER_FOLDER names no folder of Whisper's weights")
def test_the_real_weights_give_the_states_of_whispers_encoder():
    folder = Path(FOLDER)
    config = json.loads((folder / "config.json").read_text())
    record = pretrained.record_of(config, {}, 32)
    model = WhisperEncoderCTC(record).eval()
    state = pretrained.state_of(load_file(folder / "model.safetensors"), config, record, None)
    model.load_state_dict({**model.state_dict(), **state})
    time = torch.arange(5 * 16000) / 16000
    voice = sum(torch.sin(2 * torch.pi * hz * time) / hz for hz in range(120, 4000, 120)) * 20
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(len(time))).float()
    waveform = (voice * torch.sin(2 * torch.pi * 2 * time).clamp(min=0) + 0.01 * noise)[None] * 0.2
    features, frames = model.frontend(waveform, torch.tensor([len(time)]))
    theirs = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    encoder = encoder_of(int(frames) // 2, theirs)
    with torch.no_grad():
        expected = encoder(features).last_hidden_state
        found, _ = last_states(model, features, frames)
        exact = encoder.double()(features.double()).last_hidden_state
        double, _ = last_states(model.double(), features.double(), frames)
    print(
        f"largest difference: {(found - expected).abs().max():.2g} of {expected.abs().max():.3g}, "
        f"in float64 {(double - exact).abs().max():.2g}"
    )
    assert (double - exact).abs().max() < 1e-9
    assert (found - expected).abs().max() < 1e-2 and (found - expected).abs().mean() < 1e-5
