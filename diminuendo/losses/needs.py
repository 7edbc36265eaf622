"""What every term of a loss needs of a teacher, and what is wrong with a pair that cannot work.

Nothing here imports torch: ``params.yaml`` is checked by it before anything is run or loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diminuendo.models.knowledge import Knowledge
from diminuendo.models.layer_map import problem_of

# Key in ``losses`` to what the term needs, in the order in which terms are summed.
NEEDS: dict[str, Knowledge] = {
    "ctc": Knowledge.NOTHING,
    "intermediate": Knowledge.NOTHING,
    "kl": Knowledge.FRAME_POSTERIORS,
    "hidden": Knowledge.STATES,
    "sequence": Knowledge.TOKENS,
}


@dataclass(frozen=True)
class Side:
    """What is known of a student or a teacher; None: it shows only when the model is there.

    Attributes:
        gives: what its head says.
        tokens: of its vocabulary, the blank first.
        layers: of its encoder.
        units: whose tokens these are, as the parameters tell before there are any: the corpus' own or the checkpoint's.
    """

    gives: Knowledge | None = None
    tokens: tuple[str, ...] | None = None
    layers: int | None = None
    units: str | None = None


def impossible(
    terms: Mapping[str, Knowledge], student: Side, teacher: Side | None, layers: Sequence[int] | None = None
) -> str | None:
    """Why a student cannot learn these terms from this teacher, in one line; None: it can, as far as is known.

    Args:
        terms: ``LossConfig.terms``.
        layers: the teacher's layer, from 0, for every layer of the student, where somebody has chosen.
    """
    if not terms:
        return "every weight is 0, so that nothing would be learned; set one above 0"
    taught = {key: needs for key, needs in terms.items() if needs}
    if not taught:
        return None
    if teacher is None:
        names = " and ".join(taught)
        return f"{names} above 0, and there is no teacher; set 0 for a member that is trained from scratch"
    different = _different_vocabularies(student, teacher)
    for key, needs in taught.items():
        needed = (needs.across_vocabularies if different else needs).of_rows(student.gives)
        if teacher.gives is not None and (missing := needed & ~teacher.gives):
            return f"{key} needs {missing} of the teacher, which gives {teacher.gives}; set {key}: 0"
        if different and needs & Knowledge.FRAME_POSTERIORS:
            return (
                f"{key} compares posteriors token by token, and teacher and student have different vocabularies "
                f"({different}); set {key}: 0, and sequence or hidden above 0, which work between any two"
            )
    known = layers is not None and student.layers is not None and teacher.layers is not None
    if Knowledge.STATES in _all(taught) and known:
        return problem_of(layers, student.layers, teacher.layers)
    return None


def _different_vocabularies(student: Side, teacher: Side) -> str:
    """How they differ, by more than the order of their tokens; empty: they do not, as far as is known."""
    if None not in (student.tokens, teacher.tokens):
        same = set(student.tokens) == set(teacher.tokens)
        return "" if same else f"{len(teacher.tokens)} and {len(student.tokens)} tokens"
    if None not in (student.units, teacher.units) and student.units != teacher.units:
        return f"{teacher.units} and {student.units}, by text.units"
    return ""


def _all(terms: Mapping[str, Knowledge]) -> Knowledge:
    whole = Knowledge.NOTHING
    for needs in terms.values():
        whole |= needs
    return whole
