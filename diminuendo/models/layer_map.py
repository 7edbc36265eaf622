"""Which layer of its teacher a student's layer starts from and follows. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.core.errors import UserError


def layer_map(student_layers: int, teacher_layers: int, chosen: Sequence[int] | None = None) -> list[int]:
    """The teacher's layer, counted from 0, for every layer of the student.

    Initialisation copies from these layers and the hidden-state loss compares with them: one map, so that a layer
    follows the one that it started from.

    Args:
        chosen: the map itself, where somebody has chosen; otherwise the layers are evenly spread, the first to the
            first and the last to the last. The only layer of a student goes to the last.

    Raises:
        UserError: ``chosen`` has not one layer for every layer of the student, or the teacher does not have them.
    """
    if chosen is None:
        if student_layers == 1:
            return [teacher_layers - 1]
        return [round(i * (teacher_layers - 1) / (student_layers - 1)) for i in range(student_layers)]
    if problem := problem_of(chosen, student_layers, teacher_layers):
        raise UserError(problem)
    return list(chosen)


def problem_of(chosen: Sequence[int], student_layers: int, teacher_layers: int) -> str | None:
    """What is wrong with a map that somebody has chosen; None: nothing."""
    if len(chosen) == student_layers and all(0 <= layer < teacher_layers for layer in chosen):
        return None
    return (
        f"teacher_layers: {list(chosen)} for a student of {student_layers} layers and a teacher of {teacher_layers}; "
        f"give one index from 0 to {teacher_layers - 1} for every layer of the student"
    )
