"""Start a student from its teacher's layers (Sanh et al. 2019), cut to the student's widths.

Of heads, feed-forward channels and convolution channels the student takes those with the largest weights: the norm of
what writes a unit times the norm of what reads it (Li et al. 2017 judge filters by the norm of their weights).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diminuendo.core.errors import UserError
from diminuendo.models.layer_map import layer_map
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure, UnitGroup
from diminuendo.models.surgery import (
    State,
    dense_weight,
    drop,
    keep_inputs,
    keep_outputs,
    keep_rows,
    renamed,
    unit_rows,
)


@torch.no_grad()
def initialise_from_teacher(
    student: SpeechModel, teacher: SpeechModel, layers: Sequence[int] | None = None, *, output: bool = True
) -> list[str]:
    """Copy what fits, in place; returns the names of the student's tensors that were filled.

    Tensors of equal shape are copied whole. Narrower ones take the units of the layer with the largest weights, and of
    the model's width, where no axis is more important than another, the leading slice. Tensors with an axis that is
    wider than the teacher's, or that the teacher lacks, keep their random start, and so does attention with heads of
    another width: its rotation pairs other rows.

    Args:
        layers: the teacher's layer, from 0, for every layer of the student; None: evenly spread.
        output: copy the output layer too: the two write the same tokens.
    Raises:
        UserError: the teacher is of another kind, or nothing that is trained could be filled; not one layer for every
            layer of the student, or the teacher does not have them.
    """
    if student.record.kind != teacher.record.kind:
        raise UserError(
            f"initialise: teacher; the teacher is of kind {teacher.record.kind} and the student of kind "
            f"{student.record.kind}, which share no layers; give initialise: random"
        )
    theirs, ours = teacher.structure(), student.structure()
    count, available = len(ours.layers), len(theirs.layers)
    mapping = layer_map(count, available, layers)
    whole = teacher.state_dict()
    apart = (*theirs.layers, *theirs.decoder_layers, *(() if output else (theirs.output,)))
    source = {name: t for name, t in whole.items() if not name.startswith(tuple(f"{path}." for path in apart))}
    for index, taken in enumerate(mapping):
        source |= _layer_of(whole, theirs, taken, ours, index)
    decoder = layer_map(len(ours.decoder_layers), len(theirs.decoder_layers)) if ours.decoder_layers else ()
    for path, taken in zip(ours.decoder_layers, decoder):
        source |= renamed(whole, theirs.decoder_layers[taken], path)
    filled = []
    for name, tensor in student.state_dict().items():
        given = source.get(name)
        if given is None or given.dim() != tensor.dim() or any(a > b for a, b in zip(tensor.shape, given.shape)):
            continue
        tensor.copy_(given[tuple(slice(0, size) for size in tensor.shape)])
        filled.append(name)
    if not {name for name, _ in student.named_parameters()} & set(filled):
        raise UserError(
            "initialise: teacher; nothing could be copied, since every tensor of the student is wider than that of the "
            "teacher, or the teacher has none; give widths up to the teacher's, or initialise: random"
        )
    return filled


def _layer_of(whole: State, theirs: Structure, taken: int, ours: Structure, index: int) -> State:
    """The tensors of a teacher's layer under the names of the student's, with as many units as it has, or all."""
    old, new = theirs.layers[taken], ours.layers[index]
    state = renamed(whole, old, new)
    for key, wanted in ours.groups.items():
        have = theirs.groups.get((taken, key[1]))
        if key[0] != index or have is None:
            continue
        if wanted.width != have.width:  # rows of other units: of heads, the rotation pairs other ones
            drop(state, wanted.path)
        elif wanted.count < have.count:
            units = _heaviest(state, wanted, have.count)
            rows = unit_rows(units, have.width)
            for writer in wanted.writers:
                keep_outputs(state, writer, rows)
            for path in wanted.between:
                keep_rows(state, path, rows)
            for path in wanted.tables:
                keep_rows(state, path, units)
            keep_inputs(state, wanted.reader, rows)
    return state


def _heaviest(state: State, wanted: UnitGroup, count: int) -> Tensor:
    """Which of so many units have the largest weights, in ascending order."""
    written = torch.stack([dense_weight(state, path).square().sum(1) for path in wanted.writers]).sum(0)
    read = dense_weight(state, wanted.reader).square().sum(0)
    weight = written.view(count, wanted.width).sum(1) * read.view(count, wanted.width).sum(1)
    return torch.argsort(weight, descending=True, stable=True)[: wanted.count].sort().values
