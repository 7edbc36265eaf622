import math

import pytest
import torch

from diminuendo.models.ctc import ctc_loss, greedy_tokens
from tests.factories.posteriors import log_probs, one_hot_path


def ctc(x, lengths, targets, target_lengths):
    return ctc_loss(x, torch.tensor(lengths), torch.tensor(targets), torch.tensor(target_lengths))


def test_ctc_of_two_frames_by_hand():
    """The paths of "1" over two frames are 01, 10 and 11."""
    p = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.7, 0.2]]])
    expected = -math.log(0.5 * 0.7 + 0.3 * 0.1 + 0.3 * 0.7)
    assert ctc(p.log(), [2], [1], [1]).item() == pytest.approx(expected, rel=1e-5)


def test_ctc_is_per_token_and_blind_to_padding():
    x = log_probs(2, 9, 4)
    alone = [ctc(x[:1, :9], [9], [1, 2, 3], [3]).item(), ctc(x[1:, :6], [6], [2], [1]).item()]
    both = ctc(x, [9, 6], [1, 2, 3, 2], [3, 1]).item()
    assert both == pytest.approx((3 * alone[0] + alone[1]) / 4, rel=1e-5)


def test_ctc_where_nobody_speaks_asks_for_blanks_alone():
    x = log_probs(2, 9, 4)
    assert ctc(x, [9, 5], [], [0, 0]).item() == pytest.approx(-(x[0, :, 0].sum() + x[1, :5, 0].sum()).item(), rel=1e-5)
    beside = ctc(x, [9, 5], [1, 2], [2, 0]).item()
    alone = ctc(x[:1], [9], [1, 2], [2]).item()
    assert beside == pytest.approx(alone - x[1, :5, 0].sum().item() / 2, rel=1e-5)


def test_ctc_of_a_target_that_does_not_fit_is_left_out_and_stays_finite():
    """Fast speech at a coarse frame rate: two frames cannot hold three tokens, nor one repeated token."""
    logits = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = ctc(logits.log_softmax(-1), [2, 9, 2], [1, 2, 3, 2, 1, 1, 1], [3, 2, 2])
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all() and (logits.grad[2] == 0).all()
    assert logits.grad[1].abs().sum() > 0


def test_the_best_path_is_collapsed_within_each_utterance():
    tokens, counts = greedy_tokens(*one_hot_path([0, 1, 1, 0, 1, 2], [2, 2, 0], [0, 0]))
    assert tokens.tolist() == [1, 1, 2, 2] and counts.tolist() == [3, 1, 0]
