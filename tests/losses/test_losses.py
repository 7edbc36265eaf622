import math

import pytest
import torch

from diminuendo.losses.alignment import align_frames, align_peaks
from diminuendo.losses.ctc import CTCLoss, SequenceTargets, greedy_targets
from diminuendo.losses.hidden import HiddenStates
from diminuendo.losses.kl import FrameKL


def log_probs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=-1)


def ctc(x, lengths, targets, target_lengths):
    return CTCLoss()(x, torch.tensor(lengths), torch.tensor(targets), torch.tensor(target_lengths))


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


def test_ctc_of_a_target_that_does_not_fit_is_left_out_and_stays_finite():
    """Fast speech at a coarse frame rate: two frames cannot hold three tokens, nor one repeated token."""
    logits = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = ctc(logits.log_softmax(-1), [2, 9, 2], [1, 2, 3, 2, 1, 1, 1], [3, 2, 2])
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all() and (logits.grad[2] == 0).all()
    assert logits.grad[1].abs().sum() > 0


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


def test_frames_of_one_rate_are_left_alone():
    x, lengths = torch.randn(2, 5, 3), torch.tensor([5, 4])
    assert align_frames(x, lengths, lengths.clone(), 5) is x


def test_a_faster_teacher_is_averaged():
    x = torch.arange(8.0).view(1, 8, 1)
    found = align_frames(x, torch.tensor([8]), torch.tensor([4]), 4)
    assert found[0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5]


def test_a_slower_teacher_is_interpolated():
    x = torch.tensor([[[0.0], [4.0]]])
    found = align_frames(x, torch.tensor([2]), torch.tensor([4]), 4)
    assert found[0, :, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


@pytest.mark.parametrize("wanted", [3, 7, 10, 23])
def test_posteriors_stay_posteriors_and_padding_stays_zero(wanted):
    x = log_probs(2, 10, 4).exp()
    lengths, student = torch.tensor([10, 5]), torch.tensor([wanted, max(1, wanted // 2)])
    found = align_frames(x, lengths, student, wanted + 2)
    assert found.shape == (2, wanted + 2, 4)
    for row, valid in enumerate(student.tolist()):
        assert torch.allclose(found[row, :valid].sum(-1), torch.ones(valid), atol=1e-5)
        assert (found[row, valid:] == 0).all()
    alone = align_frames(x[1:, :5], lengths[1:], student[1:], int(student[1]))
    assert torch.allclose(found[1, : student[1]], alone[0], atol=1e-6)


def test_equal_lengths_in_wider_padding():
    x, lengths = torch.randn(1, 6, 2), torch.tensor([4])
    found = align_frames(x, lengths, lengths, 5)
    assert torch.allclose(found[0, :4], x[0, :4], atol=1e-6) and (found[0, 4:] == 0).all()


def test_hidden_states_match_up_to_the_projection_and_the_teachers_scale():
    torch.manual_seed(0)
    loss = HiddenStates(4, 1, 4, 1)
    with torch.no_grad():
        loss.projections[0].weight.copy_(torch.eye(4))
        loss.projections[0].bias.zero_()
    state, lengths = torch.nn.functional.layer_norm(torch.randn(2, 5, 4), (4,)), torch.tensor([5, 3])
    assert loss([state], [state * 7 + 2], lengths, lengths).item() == pytest.approx(0, abs=1e-6)
    assert loss([state], [state.roll(1, 2)], lengths, lengths).item() > 0.1
    changed = state.clone()
    changed[1, 3:] += 5  # padding
    assert loss([changed], [state], lengths, lengths).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [(3, 6, [1, 3, 5]), (2, 3, [1, 2]), (4, 4, [0, 1, 2, 3]), (1, 5, [4]), (6, 2, [0, 0, 0, 0, 1, 1])],
)
def test_student_layers_follow_teacher_layers_in_order(student, teacher, pairs):
    assert [theirs for _, theirs in HiddenStates(4, student, 4, teacher).pairs] == pairs


def test_hidden_states_of_another_rate_and_width():
    loss = HiddenStates(4, 2, 6, 3)
    student, teacher = [torch.randn(2, 5, 4)] * 2, [torch.randn(2, 10, 6)] * 3
    value = loss(student, teacher, torch.tensor([10, 6]), torch.tensor([5, 3]))
    value.backward()
    assert torch.isfinite(value) and loss.projections[1].weight.grad.abs().sum() > 0


def one_hot_path(*paths, size=4):
    """Log-probabilities whose best path is given, one row per path, padded with token 3."""
    x = torch.full((len(paths), max(map(len, paths)), size), -9.0)
    for row, path in enumerate(paths):
        for t in range(x.shape[1]):
            x[row, t, path[t] if t < len(path) else 3] = 0
    return x.log_softmax(-1), torch.tensor([len(path) for path in paths])


def test_the_best_path_is_collapsed_within_each_utterance():
    tokens, counts = greedy_targets(*one_hot_path([0, 1, 1, 0, 1, 2], [2, 2, 0], [0, 0]))
    assert tokens.tolist() == [1, 1, 2, 2] and counts.tolist() == [3, 1, 0]


def test_sequence_targets_are_ctc_against_what_the_teacher_says():
    teacher, teacher_lengths = one_hot_path([0, 1, 1, 2, 0, 3], [2, 0, 2])
    student, lengths = log_probs(2, 5, 4), torch.tensor([5, 4])
    expected = ctc(student, [5, 4], [1, 2, 3, 2, 2], [3, 2])
    assert SequenceTargets()(student, lengths, teacher, teacher_lengths).item() == pytest.approx(expected.item())


def test_a_teacher_that_says_nothing_teaches_blanks():
    student, lengths = log_probs(1, 3, 4).requires_grad_(), torch.tensor([3])
    loss = SequenceTargets()(student, lengths, *one_hot_path([0, 0, 0]))
    assert loss.item() == pytest.approx(-student[0, :, 0].sum().item(), rel=1e-5)


def peaks(tokens, V=4, sure=0.97):
    """Posteriors ``[1, T, V]`` that say these tokens, frame by frame."""
    p = torch.full((1, len(tokens), V), (1 - sure) / (V - 1))
    p[0, range(len(tokens)), tokens] = sure
    return p.log()


def test_a_peak_stays_a_peak_at_half_the_frame_rate():
    teacher = peaks([0, 2, 0, 0, 3, 0, 0, 0])
    found = align_peaks(teacher, torch.tensor([8]), torch.tensor([4]), 4)
    assert found.argmax(-1).tolist() == [[2, 0, 3, 0]]
    assert found.exp().max(-1).values.min().item() == pytest.approx(0.97, abs=1e-6)
    averaged = align_frames(teacher.exp(), torch.tensor([8]), torch.tensor([4]), 4)
    assert averaged.max().item() < 0.98 and averaged[0, 0].max().item() < 0.5  # what the mean would have taught


def test_peaks_of_padding_are_not_heard():
    teacher = torch.cat([peaks([0, 2, 0, 0, 3, 3]), peaks([1, 0, 0, 0, 0, 0])])
    found = align_peaks(teacher, torch.tensor([4, 6]), torch.tensor([2, 3]), 3)
    assert found.argmax(-1)[0, :2].tolist() == [2, 0]
    assert found.argmax(-1)[1].tolist() == [1, 0, 0]
    assert torch.isfinite(found).all()


def test_equal_and_lower_rates_of_the_teacher():
    teacher = peaks([0, 2, 0])
    assert align_peaks(teacher, torch.tensor([3]), torch.tensor([3]), 3) is teacher
    slower = align_peaks(teacher, torch.tensor([3]), torch.tensor([6]), 6)
    assert slower.exp().sum(-1).tolist() == [pytest.approx([1.0] * 6, abs=1e-5)] and slower.argmax(-1)[
        0, 2:4
    ].tolist() == [2, 2]
