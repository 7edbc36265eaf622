"""Whisper whole as one file: what it writes, and how it can be told to."""

import numpy as np
import onnx
import pytest
import torch

from diminuendo.models.whisper.seq2seq.onnx_writer import build_onnx
from diminuendo.models.whisper.seq2seq.record import Context
from tests.factories.models import speech_batch
from tests.factories.whisper_text import SPECIAL, VOCABULARY, session_of, tiny_text_whisper, written

FIRST = SPECIAL.first_timestamp
BATCH = speech_batch(16000, (0.5, 0.33, 0.1))
MODELS = {
    "plain": tiny_text_whisper,
    "another": lambda: tiny_text_whisper(5),
    "pruned": lambda: tiny_text_whisper(2, ({"heads": 0}, {"cross_heads": 0}, {"feed_forward": 0, "heads": 1})),
    "factorised": lambda: tiny_text_whisper(
        3, ({"ranks": {"attention.query": 2, "cross_attention.key": 3, "feed_forward.up": 3}}, {})
    ),
    "short context": lambda: tiny_text_whisper(4, context=Context(longest=60, multiple=8, margin=3)),
    "no decoder layers": lambda: tiny_text_whisper(1, ()),
    "no alignment heads": lambda: tiny_text_whisper(6, alignment_heads=()),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_file_writes_what_the_model_writes(name):
    model = MODELS[name]()
    session = session_of(model)
    waveform, lengths = BATCH
    tokens, log_probs, counts = model.write(model.heard(model.frontend(waveform, lengths)[0])[-1])
    found = written(session, waveform, lengths)
    assert found["tokens"].tolist() == tokens.tolist()
    assert found["lengths"].tolist() == counts.tolist()
    np.testing.assert_allclose(found["log_probs"], log_probs.numpy(), rtol=0, atol=1e-4)
    if model.record.alignment_heads:
        assert found["alignment"].shape[1] == len(model.record.alignment_heads)
        np.testing.assert_allclose(found["alignment"].sum(-1), 1, atol=1e-5)
    else:
        assert "alignment" not in found
    states = model.heard(model.frontend(waveform, lengths)[0])[-1]
    silence = model.decoder(torch.tensor([[SPECIAL.start]] * 3), states)[:, 0, SPECIAL.no_speech].exp()
    np.testing.assert_allclose(found["no_speech"], silence.detach().numpy(), rtol=0, atol=1e-5)


def test_utterances_alone_are_written_as_in_a_batch():
    model = tiny_text_whisper()
    session, (waveform, lengths) = session_of(model), BATCH
    together = written(session, waveform, lengths)
    for row, samples in enumerate(lengths.tolist()):
        alone = written(session, waveform[row : row + 1, :samples], lengths[row : row + 1])
        count = int(alone["lengths"][0])
        assert alone["tokens"][0, :count].tolist() == together["tokens"][row, : together["lengths"][row]].tolist()


def test_a_text_goes_on_from_its_prompt():
    model = tiny_text_whisper(5)
    session, (waveform, lengths) = session_of(model), BATCH
    prompt = [SPECIAL.previous, 7, 8, *model.prompt]
    tokens, _, _ = model.write(model.heard(model.frontend(waveform, lengths)[0])[-1], prompt)
    assert written(session, waveform, lengths, prompt=prompt)["tokens"].tolist() == tokens.tolist()
    most = written(session, waveform, lengths, max_tokens=3)["tokens"]
    assert most.tolist() == written(session, waveform, lengths)["tokens"][:, :3].tolist()


def test_a_text_ends_where_there_are_no_more_positions():
    model = tiny_text_whisper(5)
    with torch.no_grad():
        model.decoder.embedding.weight[SPECIAL.end] = 0
    session, (waveform, lengths) = session_of(model), BATCH
    found = written(session, waveform, lengths, max_tokens=1000)["tokens"]
    assert found.shape[1] == model.record.positions + 1 - len(model.prompt)
    tokens, _, _ = model.write(model.heard(model.frontend(waveform, lengths)[0])[-1], most=1000)
    assert found.tolist() == tokens.tolist()


def test_a_given_text_is_scored():
    model = tiny_text_whisper(5)
    session, (waveform, lengths) = session_of(model), BATCH
    text = torch.tensor([[9, 11, 13, SPECIAL.end]] * 3)
    found = written(session, waveform, lengths, forced=text[:1].numpy(), max_tokens=4)
    states = model.heard(model.frontend(waveform, lengths)[0])[-1]
    prompt = torch.tensor([model.prompt] * 3)
    with torch.no_grad():
        scores = model.decoder(torch.cat([prompt, text[:, :-1]], 1), states)[:, len(model.prompt) - 1 :]
    scores[:, :, list(SPECIAL.suppressed)] = -1e9
    scores[:, 0, list(SPECIAL.suppressed_first)] = -1e9
    expected = scores.log_softmax(-1).gather(2, text[:, :, None])[:, :, 0]
    assert found["tokens"].tolist() == text.tolist() and found["lengths"].tolist() == [3, 3, 3]
    np.testing.assert_allclose(found["log_probs"], expected.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_timestamps_begin_a_text_come_in_pairs_and_never_go_back(seed):
    model = tiny_text_whisper(seed)
    with torch.no_grad():
        model.decoder.embedding.weight[FIRST:].mul_(1.5)  # so that some are written in the middle, too
    waveform, lengths = BATCH
    found = written(session_of(model), waveform, lengths, prompt=[SPECIAL.start, 42, 45])
    for row, count in zip(found["tokens"].tolist(), found["lengths"].tolist()):
        text = row[:count]
        assert FIRST <= text[0] <= FIRST + 50
        stamps = [token for token in text if token >= FIRST]
        assert stamps == sorted(stamps) and SPECIAL.no_timestamps not in text
        runs = "".join("s" if token >= FIRST else "w" for token in text)
        assert "sss" not in runs
        inner = runs.lstrip("s").rstrip("s")
        assert "wsw" not in inner  # the end of a segment and the beginning of the next, never one alone


@pytest.mark.parametrize("seed", range(3))
def test_after_the_start_alone_comes_the_language(seed):
    model = tiny_text_whisper(seed)
    waveform, lengths = BATCH
    found = written(session_of(model), waveform, lengths, prompt=[SPECIAL.start], max_tokens=1)["tokens"]
    states = model.heard(model.frontend(waveform, lengths)[0])[-1]
    scores = model.decoder(torch.tensor([[SPECIAL.start]] * 3), states)[:, 0]
    languages = list(SPECIAL.languages.values())
    assert found[:, 0].tolist() == [languages[at] for at in scores[:, languages].argmax(-1).tolist()]


def test_the_same_seed_draws_the_same_text():
    model = tiny_text_whisper(5)
    session, (waveform, lengths) = session_of(model), BATCH

    def drawn(temperature, seed):
        inputs = {"temperature": np.float32(temperature), "seed": seed}
        return written(session, waveform, lengths, **inputs)["tokens"].tolist()

    texts = [drawn(1.0, seed) for seed in range(5)]
    assert drawn(1.0, 3) == texts[3]
    assert len({str(text) for text in texts}) == 5
    assert drawn(1e-3, 1) == written(session, waveform, lengths)["tokens"].tolist()


def test_tokens_are_drawn_as_often_as_they_are_likely():
    model = tiny_text_whisper(1, ())
    session = session_of(model)
    waveform, lengths = speech_batch(16000, (0.2,))
    counts = np.zeros(VOCABULARY)
    for seed in range(800):
        counts[written(session, waveform, lengths, temperature=np.float32(1), seed=seed, max_tokens=1)["tokens"]] += 1
    states = model.heard(model.frontend(waveform, lengths)[0])[-1]
    scores = model.decoder(torch.tensor([model.prompt]), states)[0, -1]
    scores[[*SPECIAL.suppressed, *SPECIAL.suppressed_first]] = -torch.inf
    expected = 800 * scores.softmax(-1).detach().numpy()
    likely = expected > 5
    chi_squared = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    assert chi_squared < 2 * likely.sum()
    assert not counts[[*SPECIAL.suppressed, *SPECIAL.suppressed_first]].any()


def test_every_weight_is_stored_once_and_the_file_is_standard():
    model = tiny_text_whisper()
    file = build_onnx(model, {})
    stored = {tensor.name: np.prod(tensor.dims) for tensor in file.graph.initializer}
    parameters = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert parameters.items() <= stored.items()
    assert {opset.domain for opset in file.opset_import} == {""}
    onnx.checker.check_model(file, full_check=True)
    inputs = {value.name for value in file.graph.input}
    assert inputs & set(stored) == {"prompt", "max_tokens", "temperature", "seed", "forced"}
