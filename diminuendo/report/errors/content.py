"""What the page knows, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from diminuendo.metrics.normalizers import in_words, is_none
from diminuendo.metrics.unit import Unit
from diminuendo.report import format as as_text
from diminuendo.report.errors.alignment import align
from diminuendo.report.errors.filters import Filter
from diminuendo.report.errors.spoken import Spoken
from diminuendo.report.rows import Report


def content_of(
    report: Report, spoken: Sequence[Spoken], filters: Sequence[Filter], with_texts: Iterable[int], with_audio: set[int]
) -> dict[str, Any]:
    """The counts of all utterances, and the texts of those in ``with_texts``.

    ``utterances`` has for each the distinct texts that were heard (``heard``, as counted), the errors in each, and
    which of them every member heard (``of``, in the order of ``members``). Alignments: see ``errors.alignment``.

    Args:
        with_texts: indices into ``spoken``; ``with_audio`` are some of them.
    """
    chosen, raw = set(with_texts), not is_none(report.normalizer)
    return {
        "unit": report.unit.name,
        "rate": report.unit.rate.upper(),
        "normalizer": in_words(report.normalizer) if raw else "",
        "members": [{"name": row.member, "chain": row.chain, "size": as_text.size(row.bytes)} for row in report.rows],
        "smallest": min(range(len(report.rows)), key=lambda index: (report.rows[index].bytes, index)),
        "filters": [{"key": filter_.key, "values": list(filter_.values)} for filter_ in filters],
        "utterances": [
            {
                "id": one.utterance.id,
                "seconds": round(one.utterance.duration, 2),
                "length": one.length,
                "groups": [filter_.of[index] for filter_ in filters],
                **_heard(one),
                **(_texts(one, report.unit, raw) if index in chosen else {}),
                **({"audio": 1} if index in with_audio else {}),
            }
            for index, one in enumerate(spoken)
        ],
    }


def _heard(one: Spoken) -> dict[str, Any]:
    distinct = list(dict.fromkeys(one.heard))
    return {
        "of": [distinct.index(text) for text in one.heard],
        "errors": [one.errors[one.heard.index(text)] for text in distinct],
    }


def _texts(one: Spoken, unit: Unit, raw: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "reference": one.reference,
        "heard": [[text, align(one.reference, text, unit)] for text in dict.fromkeys(one.heard)],
    }
    if raw:
        distinct = list(dict.fromkeys(one.raw_heard))
        of = [distinct.index(text) for text in one.raw_heard]
        found["raw"] = {"reference": one.raw_reference, "heard": distinct, "of": of}
    return found
