"""Whisper whole in PyTorch, against ``transformers``."""

import pytest
import torch

from diminuendo.models.whisper.seq2seq.record import Context
from tests.factories.models import speech_batch
from tests.factories.whisper_text import SPECIAL, foreign_text_whisper, text_whisper_of, tiny_text_whisper


@pytest.fixture(scope="module", params=[0, 1])
def pair(request):
    theirs = foreign_text_whisper(request.param)
    return theirs, text_whisper_of(theirs)


def heard(model, seconds=(0.6, 0.25)):
    waveform, lengths = speech_batch(16000, seconds)
    with torch.no_grad():
        return model.heard(model.frontend(waveform, lengths)[0])[-1]


def test_the_decoder_says_what_theirs_says(pair):
    theirs, ours = pair
    states, tokens = heard(ours), torch.tensor([[SPECIAL.start, 42, 5, 7, 9], [SPECIAL.start, 42, 30, 31, 32]])
    with torch.no_grad():
        expected = theirs(encoder_outputs=(states,), decoder_input_ids=tokens).logits.log_softmax(-1)
        found = ours.decoder(tokens, states)
    assert (found - expected).abs().max() <= 1e-4
    assert expected.std() > 0.5  # else all models would agree


def test_the_encoder_hears_what_theirs_hears(pair):
    theirs, ours = pair
    waveform, lengths = speech_batch(16000, (0.6, 0.25))
    with torch.no_grad():
        features, frames = ours.frontend(waveform, lengths)
        expected = theirs.model.encoder(features).last_hidden_state
    assert frames.tolist() == [60, 60]
    assert (heard(ours) - expected).abs().max() <= 1e-4


def test_features_are_those_of_the_reference():
    from transformers import WhisperFeatureExtractor

    model = tiny_text_whisper(context=Context(longest=3000, multiple=3000))
    extractor = WhisperFeatureExtractor(feature_size=12)
    for seconds in (0.3, 1.0, 4.99):
        waveform, lengths = speech_batch(16000, (seconds,))
        expected = extractor(waveform[0].numpy(), sampling_rate=16000, return_tensors="pt").input_features
        found, _ = model.frontend(waveform, lengths)
        assert found.shape == expected.shape == (1, 12, 3000)
        assert (found - expected).abs().max() <= 2e-3  # logarithms of sums in another order, near their floor
        assert (found - expected).abs().mean() <= 1e-5


def test_a_text_is_the_likeliest_token_after_the_other(pair):
    theirs, ours = pair
    states = heard(ours)
    tokens, log_probs, counts = ours.write(states, most=12)
    text = torch.tensor([ours.prompt] * 2)
    for at in range(tokens.shape[1]):
        with torch.no_grad():
            scores = theirs(encoder_outputs=(states,), decoder_input_ids=text).logits[:, -1]
        scores[:, list(SPECIAL.suppressed)] = -torch.inf
        if not at:
            scores[:, list(SPECIAL.suppressed_first)] = -torch.inf
        value, expected = scores.log_softmax(-1).max(-1)
        for row in range(2):
            if at <= counts[row]:
                assert tokens[row, at] == expected[row]
                assert abs(float(log_probs[row, at] - value[row])) <= 1e-4
            else:
                assert tokens[row, at] == SPECIAL.end and log_probs[row, at] == 0
        text = torch.cat([text, tokens[:, at : at + 1]], 1)


def test_what_is_never_written_is_not(pair):
    _, ours = pair
    tokens, _, _ = ours.write(heard(ours, (0.6, 0.25, 0.1, 0.5)), most=20)
    assert not set(tokens.flatten().tolist()) & set(SPECIAL.suppressed)
    assert not set(tokens[:, 0].tolist()) & set(SPECIAL.suppressed_first)


@pytest.mark.parametrize(
    ("context", "samples", "frames"),
    [
        (Context(longest=60, multiple=60), 100, 60),
        (Context(longest=60, multiple=10), 100, 10),
        (Context(longest=60, multiple=10), 1601, 20),
        (Context(longest=60, multiple=10, margin=5), 1600, 20),
        (Context(longest=60, multiple=10, margin=50), 9600, 60),
    ],
)
def test_a_context_is_the_utterance_and_a_margin_up_to_a_multiple(context, samples, frames):
    model = tiny_text_whisper(context=context)
    features, valid = model.frontend(torch.ones(1, samples) * 0.1, torch.tensor([samples]))
    assert features.shape[2] == frames and valid.tolist() == [frames]
    assert model.record.frames_of(samples / 16000)[0] == context.frames(samples // 160)


def test_audio_beyond_the_context_is_not_heard():
    model = tiny_text_whisper()
    waveform, _ = speech_batch(16000, (1.0,))
    cut = waveform[:, : 60 * 160]
    beyond, within = (model.frontend(x, torch.tensor([x.shape[1]]))[0] for x in (waveform, cut))
    assert torch.equal(beyond, within)
