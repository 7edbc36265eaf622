"""Architectures of students, and what they start from."""

import pytest
from pydantic import ValidationError

from diminuendo.config.members import ArchitectureConfig, DistillConfig

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


@pytest.mark.parametrize("change", [{"teacher_layers": [0]}, {"teacher_layers": [0, 1], "initialise": "random"}])
def test_chosen_layers_must_fit_the_student(change):
    with pytest.raises(ValidationError, match="one for each of the 2 layers, and initialise: teacher"):
        DistillConfig(**{"from": "teacher", "architecture": KEYS, **change})
    assert DistillConfig(**{"from": "teacher", "architecture": KEYS, "teacher_layers": [0, 2]}).teacher_layers == (0, 2)
