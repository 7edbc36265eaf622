import pytest
import torch

from diminuendo.losses.hidden import HiddenStates


def test_hidden_states_match_up_to_the_projection_and_the_teachers_scale():
    torch.manual_seed(0)
    loss = HiddenStates(4, 4, [0])
    with torch.no_grad():
        loss.projections[0].weight.copy_(torch.eye(4))
        loss.projections[0].bias.zero_()
    state, lengths = torch.nn.functional.layer_norm(torch.randn(2, 5, 4), (4,)), torch.tensor([5, 3])
    assert loss([state], [state * 7 + 2], lengths, lengths).item() == pytest.approx(0, abs=1e-6)
    assert loss([state], [state.roll(1, 2)], lengths, lengths).item() > 0.1
    changed = state.clone()
    changed[1, 3:] += 5  # padding
    assert loss([changed], [state], lengths, lengths).item() == pytest.approx(0, abs=1e-6)


def test_hidden_states_of_another_rate_and_width():
    loss = HiddenStates(4, 6, [0, 2])
    student, teacher = [torch.randn(2, 5, 4)] * 2, [torch.randn(2, 10, 6)] * 3
    value = loss(student, teacher, torch.tensor([10, 6]), torch.tensor([5, 3]))
    value.backward()
    assert torch.isfinite(value) and loss.projections[1].weight.grad.abs().sum() > 0
