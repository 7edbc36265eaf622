"""Whose tokens a member writes, and which losses work between two vocabularies, by the parameters alone."""

import pytest

from diminuendo.core.errors import UserError
from tests.factories.audio import dummy_params

CHECKPOINT = {"pretrained": {"path": "not/here"}}
STUDENT = {
    "layers": 1,
    "width": 16,
    "heads": 0,
    "feed_forward": 16,
    "conv_kernel": 5,
    "subsampling": 2,
    "subsampling_channels": 0,
    "dropout": 0.0,
}
KL, CARRIED = {"kl": 1.0}, {"sequence": 1.0, "hidden": 1.0}


def family(units="characters", teacher=CHECKPOINT, losses=KL, **sections):
    """A student of its own architecture, taught by these losses, and further sections."""
    student = {"from": "teacher", "architecture": STUDENT, "initialise": "random", "losses": losses}
    members = {"distill": {"student": student}, "compress_architecture": {}, "prune": {}, "quantize": {}}
    for section, added in sections.items():
        members[section] = members[section] | added
    return dummy_params(**{"text.units": units, "teacher": teacher, **members})


def test_a_checkpoint_with_its_own_head_may_have_students_of_other_tokens():
    assert family(losses=CARRIED).text.units == "characters"
    assert family("checkpoint").teacher.has_own_tokens
    assert not family(teacher=CHECKPOINT | {"head": "ctc"}).teacher.has_own_tokens


@pytest.mark.parametrize("units", ["characters", "sentencepiece"])
def test_frame_posteriors_between_two_vocabularies_are_refused_before_anything_runs(units):
    with pytest.raises(UserError) as refused:
        family(units)
    assert "nothing was run:\n  distill.student.losses: kl compares posteriors token by token" in str(refused.value)
    assert "(the checkpoint's tokens and the corpus' own, by text.units); set kl: 0, and sequence" in str(refused.value)


def test_what_descends_from_the_teacher_writes_its_tokens_and_follows_its_posteriors():
    copy = {"from": "teacher", "architecture": {"kind": "parent", "layers": 1}, "losses": KL}
    sparse = {"from": "copy", "magnitude": {"sparsity": 0.5}, "losses": KL}
    low_rank = {"from": "teacher", "low_rank": {"budget": 0.5}, "losses": KL}
    assert family(
        losses=CARRIED, distill={"copy": copy}, prune={"sparse": sparse}, compress_architecture={"low": low_rank}
    )


def test_what_descends_from_a_student_writes_the_students():
    sparse = {"from": "student", "magnitude": {"sparsity": 0.5}}
    assert family(losses=CARRIED, prune={"sparse": sparse | {"losses": CARRIED}})
    with pytest.raises(UserError, match=r"prune.sparse.losses: kl compares posteriors token by token"):
        family(losses=CARRIED, prune={"sparse": sparse | {"losses": KL}})
    small = {"from": "student", "architecture": {"kind": "parent", "width": 8}, "losses": KL}
    assert family(losses=CARRIED, distill={"small": small})  # the student teaches it


def test_units_of_a_checkpoint_need_one_with_a_head():
    for teacher in (CHECKPOINT | {"head": "ctc"}, {"architecture": STUDENT}):
        with pytest.raises(UserError, match=r"text.units: checkpoint, and the teacher has no head of a checkpoint"):
            family("checkpoint", teacher)
