"""Write the page of errors: the part of the report stage that needs the corpus."""

from __future__ import annotations

from pathlib import Path

from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.core.files import write_text
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.report.errors.content import content_of
from diminuendo.report.errors.filters import filters_of
from diminuendo.report.errors.page import errors_page
from diminuendo.report.errors.ranking import in_order_of_difference
from diminuendo.report.errors.sound import choose_audio
from diminuendo.report.errors.spoken import read_spoken
from diminuendo.report.rows import Report

PAGE = "errors.html"


def write_errors(report: Report, config: EvaluateConfig, evaluation: Path, corpus: PreparedCorpus, out: Path) -> None:
    """Write ``errors.html`` into ``out``.

    Raises:
        UserError: the evaluation is of another corpus.
    """
    limits = config.errors_page
    spoken = read_spoken(evaluation, [row.member for row in report.rows], corpus, report.unit, report.normalizer)
    filters = filters_of(corpus.test, config.group_by)
    order = in_order_of_difference(spoken)
    with_texts = order[: limits.utterances]
    audio = choose_audio(corpus, with_texts, limits.audio_megabytes)
    told = left_out(len(spoken), len(with_texts), len(audio))
    content = content_of(report, spoken, filters, with_texts, set(audio))
    write_text(out / PAGE, errors_page(report, content, audio, told))


def left_out(utterances: int, with_texts: int, with_audio: int) -> list[str]:
    """What the page does not hold, a sentence each."""
    told = []
    if with_texts < utterances:
        told.append(
            f"Figures are of all {utterances} utterances; {with_texts} of them have their texts in this page, those on "
            "which members differ most (evaluate.errors_page.utterances)."
        )
    if with_audio < with_texts:
        told.append(
            f"{with_audio} of {with_texts} utterances have their audio in this page, those on which members differ "
            "most (evaluate.errors_page.audio_megabytes)."
        )
    return told
