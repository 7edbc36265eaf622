"""Start a student from its teacher's layers (Sanh et al. 2019), cut to the student's widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diminuendo.errors import UserError
from diminuendo.models.conformer import ConformerCTC


def layer_map(student_layers: int, teacher_layers: int) -> list[int]:
    """Teacher layer for every student layer: evenly spread, the first from the first and the last from the last."""
    if student_layers == 1:
        return [teacher_layers - 1]
    return [round(i * (teacher_layers - 1) / (student_layers - 1)) for i in range(student_layers)]


@torch.no_grad()
def initialise_from_teacher(
    student: ConformerCTC, teacher: ConformerCTC, layers: Sequence[int] | None = None
) -> list[str]:
    """Copy what fits, in place; returns the names of the student's tensors that were filled.

    Tensors of equal shape are copied whole, narrower ones take the leading slice of every axis. Tensors with an axis
    that is wider than the teacher's, or that the teacher lacks, keep their random start.

    Args:
        layers: the teacher's layer, from 0, for every layer of the student; :func:`layer_map` if there are none.
    Raises:
        UserError: not one for every layer of the student, or the teacher does not have them.
    """
    mapping = layer_map(len(student.layers), len(teacher.layers)) if layers is None else list(layers)
    if len(mapping) != len(student.layers) or max(mapping) >= len(teacher.layers):
        raise UserError(
            f"teacher_layers: {mapping} for a student of {len(student.layers)} layers and a teacher of "
            f"{len(teacher.layers)}; give one index from 0 to {len(teacher.layers) - 1} for every layer of the student"
        )
    source = teacher.state_dict()
    filled = []
    for name, tensor in student.state_dict().items():
        parts = name.split(".")
        if parts[0] == "layers":
            parts[1] = str(mapping[int(parts[1])])
        theirs = source.get(".".join(parts))
        if theirs is None or theirs.dim() != tensor.dim() or any(a > b for a, b in zip(tensor.shape, theirs.shape)):
            continue
        tensor.copy_(theirs[tuple(slice(0, size) for size in tensor.shape)])
        filled.append(name)
    return filled
