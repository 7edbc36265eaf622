"""Start a student from its teacher's layers (Sanh et al. 2019), cut to the student's widths.

Of heads, feed-forward channels and convolution channels the student takes those with the largest weights: the norm of
what writes a unit times the norm of what reads it (Li et al. 2017 judge filters by the norm of their weights).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diminuendo.core.errors import UserError
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.record import LayerRecord
from diminuendo.models.surgery import (
    READERS,
    WIDTHS,
    WRITERS,
    State,
    dense_weight,
    drop,
    keep_inputs,
    keep_outputs,
    unit_rows,
)


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

    Tensors of equal shape are copied whole. Narrower ones take the units of the layer with the largest weights, and of
    the model's width, where no axis is more important than another, the leading slice. Tensors with an axis that is
    wider than the teacher's, or that the teacher lacks, keep their random start, and so does attention with heads of
    another width: its rotation pairs other rows.

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
    source = {name: tensor for name, tensor in teacher.state_dict().items() if not name.startswith("layers.")}
    for ours, theirs in enumerate(mapping):
        source |= _layer_of(teacher, theirs, ours, student.record.layers[ours])
    filled = []
    for name, tensor in student.state_dict().items():
        theirs = source.get(name)
        if theirs is None or theirs.dim() != tensor.dim() or any(a > b for a, b in zip(tensor.shape, theirs.shape)):
            continue
        tensor.copy_(theirs[tuple(slice(0, size) for size in tensor.shape)])
        filled.append(name)
    return filled


def _layer_of(teacher: ConformerCTC, theirs: int, ours: int, wanted: LayerRecord) -> State:
    """The tensors of a teacher's layer under the names of the student's, with as many units as it wants, or all."""
    have, old, new = teacher.record.layers[theirs], f"layers.{theirs}.", f"layers.{ours}."
    state = {new + name.removeprefix(old): t for name, t in teacher.state_dict().items() if name.startswith(old)}
    for module, reader in READERS.items():
        path, key = f"{new}{module}", WIDTHS[module]
        width = have.head_width if module == "attention" else 1
        count, keep = getattr(have, key), getattr(wanted, key)
        if module == "attention" and count and keep and wanted.head_width != have.head_width:
            drop(state, path)
            continue
        if not 0 < keep < count:
            continue
        written = torch.stack([dense_weight(state, f"{path}.{writer}").square().sum(1) for writer in WRITERS[module]])
        read = dense_weight(state, f"{path}.{reader}").square().sum(0)
        weight = written.sum(0).view(count, width).sum(1) * read.view(count, width).sum(1)
        rows = unit_rows(torch.argsort(weight, descending=True, stable=True)[:keep].sort().values, width)
        for writer in WRITERS[module]:
            keep_outputs(state, f"{path}.{writer}", rows)
        keep_inputs(state, f"{path}.{reader}", rows)
        for name in [n for n in state if n.startswith((f"{path}.depthwise.", f"{path}.batch_norm."))]:
            state[name] = state[name][rows] if state[name].dim() else state[name]
    return state
