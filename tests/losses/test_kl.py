import math

import pytest
import torch

from diminuendo.losses.kl import FrameKL
from tests.factories.posteriors import log_probs


def test_kl_by_hand():
    student, teacher = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.9, 0.1]]])
    expected = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    found = FrameKL(1.0)(student.log(), teacher.log(), torch.tensor([1]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kl_of_equals_is_zero_and_of_others_is_not(temperature):
    kl, lengths = FrameKL(temperature), torch.tensor([5, 3])
    assert kl(log_probs(2, 5, 6), log_probs(2, 5, 6), lengths).item() == pytest.approx(0, abs=1e-6)
    assert kl(log_probs(2, 5, 6), log_probs(2, 5, 6, seed=1), lengths) > 0.01


def test_kl_is_a_mean_over_valid_frames():
    student, teacher, kl = log_probs(2, 5, 6), log_probs(2, 5, 6, seed=1), FrameKL(2.0)
    both = kl(student, teacher, torch.tensor([5, 2]))
    first = kl(student[:1], teacher[:1], torch.tensor([5]))
    second = kl(student[1:, :2], teacher[1:, :2], torch.tensor([2]))
    assert both.item() == pytest.approx((5 * first + 2 * second).item() / 7, rel=1e-5)


def test_kl_with_temperature_by_hand():
    """Both are softened, and the square of the temperature is put back."""
    student, teacher = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[3.0, 0.0]]])
    p, q = (student[0, 0] / 2).softmax(0), (teacher[0, 0] / 2).softmax(0)
    expected = 4 * (q * (q / p).log()).sum()
    found = FrameKL(2.0)(student.log_softmax(-1), teacher.log_softmax(-1), torch.tensor([1]))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_gradient_keeps_its_size_when_the_temperature_rises():
    """At a high temperature it tends to the difference of the centred logits over V (Hinton et al. 2015)."""
    teacher = torch.tensor([[[1.0, -1.0, 0.0]]])
    logits = torch.zeros(1, 1, 3, requires_grad=True)
    FrameKL(100.0)(logits.log_softmax(-1), teacher.log_softmax(-1), torch.tensor([1])).backward()
    assert torch.allclose(logits.grad, -teacher / 3, atol=0.01)


def test_the_gradient_of_kl_leads_to_the_teacher():
    logits, teacher, kl = torch.zeros(1, 4, 5, requires_grad=True), log_probs(1, 4, 5), FrameKL(1.0)
    lengths, seen = torch.tensor([4]), []
    for _ in range(200):
        loss = kl(logits.log_softmax(-1), teacher, lengths)
        (gradient,) = torch.autograd.grad(loss, logits)
        seen.append(loss.item())
        logits = (logits - 2.0 * gradient).detach().requires_grad_()
    assert seen[-1] < 1e-3 * seen[0]
