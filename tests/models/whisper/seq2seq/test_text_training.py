"""How a whole Whisper learns: from texts, token after token."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from diminuendo.core.errors import UserError
from diminuendo.data.batches import collate
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.models.whisper.seq2seq.record import Context
from tests.factories.whisper_text import SPECIAL, tiny_text_whisper

TEXTS = ([5, 6, 7], [9], [8, 8, 8, 4, 30])


def batch():
    rng = np.random.default_rng(0)
    waveforms = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (8000, 1600, 4500)]
    return collate(waveforms, TEXTS, 16000)


def responded(model, given=None):
    given = given or batch()
    return model.respond(*model.frontend(given.waveform, given.lengths), given)


def test_every_token_and_the_end_is_told_after_those_before_it():
    model = tiny_text_whisper(3)
    log_probs, rows, states, frames = responded(model)
    assert rows.tolist() == [4, 2, 6] and frames.tolist() == [25, 5, 14] and len(states) == 1
    last = model.heard(model.frontend(batch().waveform, batch().lengths)[0])[-1]
    for at, text in enumerate(TEXTS):
        read = torch.tensor([[*model.prompt, *text]])
        expected = model.decoder(read, last[at : at + 1])[0, len(model.prompt) - 1 :]
        assert torch.allclose(log_probs[at, : len(text) + 1], expected, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_tokens_and_ends():
    model = tiny_text_whisper(3)
    log_probs, rows, *_ = responded(model)
    found = model.head.loss(log_probs, rows, batch().targets, batch().target_lengths)
    pairs = [(row, token) for row, text in zip(log_probs, TEXTS) for row, token in zip(row, [*text, SPECIAL.end])]
    expected = torch.stack([-row[token] for row, token in pairs]).mean()
    assert torch.allclose(found, expected)


def test_an_utterance_without_a_text_is_refused():
    given = replace(batch(), labelled=torch.tensor([True, False, True]))
    with pytest.raises(UserError, match=r"training\.unlabelled: .*token after token learns from texts"):
        responded(tiny_text_whisper(), given)


def test_texts_are_learned():
    model, given = tiny_text_whisper(3).train(), batch()
    objective = Objective(LossConfig(), model, None)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(150):
        features, frames = model.frontend(given.waveform, given.lengths)
        loss, _ = objective(model.respond(features, frames, given), features, frames, given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    tokens, counts = model.eval().transcribe(given.waveform, given.lengths)
    assert [text.tolist() for text in tokens.split(counts.tolist())] == [list(text) for text in TEXTS]


def test_a_short_context_learns_from_a_long_one():
    """States of the audio are compared frame by frame, and those of the silence after it are not."""
    teacher = tiny_text_whisper(3)
    student = tiny_text_whisper(3, context=Context(longest=60, multiple=10)).train()
    objective = Objective(LossConfig(ctc=0.0, kl=1.0, hidden=1.0), student, teacher)
    given = batch()
    features, frames = student.frontend(given.waveform, given.lengths)
    assert features.shape[2] == 50 and teacher.frontend(given.waveform, given.lengths)[0].shape[2] == 60
    _, terms = objective(student.respond(features, frames, given), features, frames, given)
    assert set(terms) == {"kl", "hidden"} and all(torch.isfinite(term) for term in terms.values())
    assert terms["kl"] > 1e-6
    same = Objective(LossConfig(ctc=0.0, kl=1.0), teacher, tiny_text_whisper(3))
    features, frames = teacher.frontend(given.waveform, given.lengths)
    _, terms = same(teacher.respond(features, frames, given), features, frames, given)
    assert abs(float(terms["kl"].detach())) < 1e-6


def test_what_the_teacher_said_is_kept_with_its_frames(tmp_path):
    teacher, student = tiny_text_whisper(3), tiny_text_whisper(4, context=Context(longest=60, multiple=10))
    given = replace(batch(), key="0-0")
    found = []
    for _ in range(2):
        objective = Objective(LossConfig(ctc=0.0, hidden=1.0), student, teacher, kept=tmp_path)
        features, frames = student.frontend(given.waveform, given.lengths)
        torch.manual_seed(0)
        for parameter in objective.hidden.parameters():
            torch.nn.init.ones_(parameter)
        found.append(float(objective(student.respond(features, frames, given), features, frames, given)[0]))
    assert found[0] == found[1] and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_learned_of_tokens_that_fill_up():
    model = tiny_text_whisper(3)
    log_probs, rows, *_ = responded(model)
    loss = model.head.loss(log_probs, rows, batch().targets, batch().target_lengths)
    log_probs[1, 2:] = -50.0
    assert model.head.loss(log_probs, rows, batch().targets, batch().target_lengths) == loss
    assert F.nll_loss(log_probs[1, :1], torch.tensor([9])) < 50
