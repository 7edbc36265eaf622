"""The comparison of repetition loops with compression."""

from __future__ import annotations

import pytest

from benchmarks.repetition_loops import SENTENCE, compresses, first, in_file
from diminuendo.core.errors import UserError
from diminuendo.metrics.repetition import has_loop


def test_compression_needs_more_repeats_and_more_still_in_a_longer_text():
    alone, after = first(compresses, "thank you"), first(compresses, "thank you", SENTENCE)
    assert first(has_loop, "thank you") == first(has_loop, "thank you", SENTENCE) == 4 < alone < after


def test_texts_of_a_corpus_and_hypotheses_are_counted(tmp_path):
    path = tmp_path / "noisy.jsonl"
    path.write_text('{"text": "no no no"}\n{"hypothesis": "no no no no no no no no", "reference": ""}\n')
    assert in_file(path) == [path, 2, 1, 0]
    path.write_text('{"id": "u"}\n')
    with pytest.raises(UserError, match=r"noisy\.jsonl: expected lines of JSON with 'hypothesis' or 'text'"):
        in_file(path)
