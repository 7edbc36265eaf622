import pytest
import torch

from diminuendo.losses.alignment import align_frames, align_peaks
from tests.factories.posteriors import log_probs


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
