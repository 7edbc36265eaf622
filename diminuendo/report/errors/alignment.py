"""Which word of a hypothesis stands for which of the reference: the alignment that the counted errors are of.

An alignment is a text of one letter for each column, from left to right: ``=`` the same in both, ``S`` substituted,
``D`` deleted (of the reference alone), ``I`` inserted (of the hypothesis alone).
"""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.metrics.unit import CHARACTERS, Unit

SAME, SUBSTITUTED, DELETED, INSERTED = "=SDI"
_PIECES = {"equal": SAME, "substitute": SUBSTITUTED, "delete": DELETED, "insert": INSERTED}  # by jiwer's names


def align(reference: str, hypothesis: str, unit: Unit) -> str:
    """The alignment of two texts as they are counted, by words or by characters."""
    if unit is CHARACTERS:
        return _by_characters(reference, hypothesis)
    return align_words(reference.split(), hypothesis.split())


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    """The alignment of NIST ``sclite``; its letters add up to ``metrics.error_rates.align_words``.

    A substitution costs 4, a deletion or an insertion 3; among equals a pair of words comes before an insertion, and
    that before a deletion.
    """
    costs = list(range(0, 3 * len(hypothesis) + 1, 3))  # of no reference words and the first words of the hypothesis
    steps = [SAME + INSERTED * len(hypothesis)]  # [R + 1] texts of H + 1 letters: the last step to each cell
    for word in reference:
        above, costs = costs, [costs[0] + 3]
        row = [DELETED]
        for column, heard in enumerate(hypothesis):
            best, step = (above[column], SAME) if word == heard else (above[column] + 4, SUBSTITUTED)
            if costs[column] + 3 < best:
                best, step = costs[column] + 3, INSERTED
            if above[column + 1] + 3 < best:
                best, step = above[column + 1] + 3, DELETED
            costs.append(best)
            row.append(step)
        steps.append("".join(row))
    row, column, backwards = len(reference), len(hypothesis), []
    while row or column:
        step = steps[row][column]
        backwards.append(step)
        row -= step != INSERTED
        column -= step != DELETED
    return "".join(reversed(backwards))


def _by_characters(reference: str, hypothesis: str) -> str:
    if not reference:
        return INSERTED * len(hypothesis)
    import jiwer

    found = jiwer.process_characters(reference, hypothesis).alignments[0]
    return "".join(
        _PIECES[piece.type] * max(piece.ref_end_idx - piece.ref_start_idx, piece.hyp_end_idx - piece.hyp_start_idx)
        for piece in found
    )
