"""Architectures of students, and what they start from."""

import pytest
from pydantic import ValidationError

from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.teacher import TeacherConfig
from diminuendo.core.errors import UserError
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.conformer.record import record_of
from tests.factories.audio import dummy_params
from tests.factories.models import FRONTEND

KEYS = {
    "layers": 2,
    "width": 12,
    "heads": 2,
    "feed_forward": 24,
    "conv_kernel": 5,
    "subsampling": 4,
    "subsampling_channels": 8,
    "dropout": 0.0,
}


def test_any_width_will_do_without_attention_or_with_heads_of_their_own_width():
    with pytest.raises(ValidationError, match=r"width 13 must be a multiple of 2 × heads \(2\)"):
        ArchitectureConfig(**KEYS | {"width": 13})
    assert ArchitectureConfig(**KEYS | {"width": 13, "heads": 0}).width == 13
    assert ArchitectureConfig(**KEYS | {"width": 13, "head_width": 4}).width == 13
    with pytest.raises(ValidationError, match="head_width must be even, found 5"):
        ArchitectureConfig(**KEYS | {"head_width": 5})
    with pytest.raises(ValidationError, match=r"there are no heads \(heads: 0\)"):
        ArchitectureConfig(**KEYS | {"heads": 0, "head_width": 4})
    with pytest.raises(ValidationError, match="subsampling 3 is one convolution over time"):
        ArchitectureConfig(**KEYS | {"subsampling": 3})
    assert ArchitectureConfig(**KEYS | {"subsampling": 3, "subsampling_channels": 0}).subsampling == 3


@pytest.mark.parametrize("change", [{"teacher_layers": [0]}, {"teacher_layers": [0, 1], "initialise": "random"}])
def test_chosen_layers_must_fit_the_student(change):
    with pytest.raises(ValidationError, match="one for each of the 2 layers, and initialise: teacher"):
        DistillConfig(**{"from": "teacher", "architecture": KEYS, **change})
    assert DistillConfig(**{"from": "teacher", "architecture": KEYS, "teacher_layers": [0, 2]}).teacher_layers == (0, 2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheme": "int8_weight", "losses": {"kl": 1.0}}, "training and losses belong to quantization_aware: true"),
        (
            {"scheme": "int8_weight", "training": {"epochs": 2}},
            "training and losses belong to quantization_aware: true",
        ),
        (
            {"scheme": "int8_static", "integer_convolutions": True},
            "integer_convolutions works with int8_dynamic, found int8_static",
        ),
        ({"scheme": "fp16", "group_size": 64}, "group_size works with int4_weight and mixed, found fp16"),
        (
            {"scheme": "int4_weight", "calibration_utterances": 8},
            "works with int8_static, mixed and error_feedback, found int4_weight",
        ),
    ],
)
def test_keys_that_would_do_nothing_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        QuantizeConfig(**{"from": "teacher", **settings})


def test_training_between_rounds_needs_rounds():
    with pytest.raises(ValidationError, match="give rounds above 1"):
        StructuredConfig(parameters=0.5, round_epochs=2)
    assert StructuredConfig(parameters=0.5, round_epochs=2, rounds=2).rounds == 2


def test_a_student_hears_what_differs_from_the_family():
    architecture = ArchitectureConfig(**KEYS, frontend={"mels": 6, "hop_seconds": 0.02})
    record = record_of(architecture, FRONTEND, 4000, 7)
    assert record.frontend == FRONTEND.model_copy(update={"mels": 6, "hop_seconds": 0.02})
    assert record_of(ArchitectureConfig(**KEYS), FRONTEND, 4000, 7).frontend == FRONTEND
    with pytest.raises(ValidationError, match="hopseconds"):
        ArchitectureConfig(**KEYS, frontend={"hopseconds": 0.02})


def test_the_teacher_hears_what_the_family_hears():
    with pytest.raises(ValidationError, match="set it in the section frontend"):
        TeacherConfig(architecture=KEYS | {"frontend": {"mels": 6}})


def test_unlabelled_audio_needs_someone_who_knows_what_it_says():
    taught = {"distill.student.training.unlabelled": True}
    assert dummy_params(**taught).training_of("student").unlabelled
    with pytest.raises(UserError, match=r"distill.student.training.unlabelled: only a teacher knows"):
        dummy_params(**taught, **{"distill.student.losses": {"ctc": 1.0}})
    with pytest.raises(UserError, match=r"teacher.training.unlabelled: only a teacher knows"):
        dummy_params(**{"teacher.training.unlabelled": True})
