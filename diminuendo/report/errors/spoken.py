"""What was said in each test utterance, and what every member heard, as the evaluation stored it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.evaluation.accuracy import HYPOTHESES
from diminuendo.evaluation.scores import NORMALISED
from diminuendo.metrics.normalizers import is_none
from diminuendo.metrics.unit import EDITS, Unit


@dataclass(frozen=True)
class Spoken:
    """One test utterance. What is heard and its errors are tuples in the order of the members.

    Attributes:
        reference: as it is counted, after the normaliser where there is one; ``raw_reference`` as the corpus has it.
        length: of ``reference``, in words or characters.
    """

    utterance: Utterance
    reference: str
    raw_reference: str
    length: int
    heard: tuple[str, ...]
    raw_heard: tuple[str, ...]
    errors: tuple[int, ...]


def read_spoken(
    evaluation: Path, members: Sequence[str], corpus: PreparedCorpus, unit: Unit, normalizer: Mapping[str, str]
) -> list[Spoken]:
    """The test utterances in the order of the corpus.

    Args:
        normalizer: its record, see ``metrics.normalizers``.

    Raises:
        UserError: the evaluation is of other utterances than the corpus, or a file of it cannot be read.
    """
    ids = [utterance.id for utterance in corpus.test]
    raw = [_lines(evaluation / name / HYPOTHESES, ids) for name in members]
    counted = raw if is_none(normalizer) else [_lines(evaluation / name / NORMALISED, ids) for name in members]
    spoken = []
    for index, utterance in enumerate(corpus.test):
        lines = [member[index] for member in counted]
        spoken.append(
            Spoken(
                utterance=utterance,
                reference=lines[0]["reference"],
                raw_reference=raw[0][index]["reference"],
                length=lines[0][unit.name],
                heard=tuple(line["hypothesis"] for line in lines),
                raw_heard=tuple(member[index]["hypothesis"] for member in raw),
                errors=tuple(sum(line[unit.prefix + kind] for kind in EDITS) for line in lines),
            )
        )
    return spoken


def _lines(path: Path, ids: list[str]) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = [line["id"] for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run {repro(path, 'evaluate', force=True)}") from error
    if found != ids:
        raise UserError(
            f"{path}: of {len(found)} utterances that are not the {len(ids)} of the prepared corpus; "
            f"run {repro(path, 'evaluate')}"
        )
    return lines
