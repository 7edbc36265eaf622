import pytest
import torch

from diminuendo.losses.sequence import SequenceTargets
from diminuendo.losses.term import StudentOutput, TeacherOutput
from diminuendo.models.ctc import CTCHead, ctc_loss
from tests.factories.posteriors import log_probs, one_hot_path


def sequence(student, lengths, teacher, teacher_lengths):
    head = CTCHead(torch.nn.Identity())
    heard = StudentOutput(student, lengths, []), None, TeacherOutput(teacher, teacher_lengths, {})
    return SequenceTargets(head, head).of(*heard)


def test_sequence_targets_are_ctc_against_what_the_teacher_says():
    teacher, teacher_lengths = one_hot_path([0, 1, 1, 2, 0, 3], [2, 0, 2])
    student, lengths = log_probs(2, 5, 4), torch.tensor([5, 4])
    expected = ctc_loss(student, lengths, torch.tensor([1, 2, 3, 2, 2]), torch.tensor([3, 2]))
    assert sequence(student, lengths, teacher, teacher_lengths).item() == pytest.approx(expected.item())


def test_a_teacher_that_says_nothing_teaches_blanks():
    student, lengths = log_probs(1, 3, 4).requires_grad_(), torch.tensor([3])
    loss = sequence(student, lengths, *one_hot_path([0, 0, 0]))
    assert loss.item() == pytest.approx(-student[0, :, 0].sum().item(), rel=1e-5)
