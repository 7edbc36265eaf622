"""How two files that should be equal differ is told in the unit of the corpus."""

from __future__ import annotations

import pytest

from diminuendo.provenance.difference import measure_difference
from tests.factories.evaluation import HANZI, LATIN, script_metadata, spoken_corpus
from tests.factories.onnx_models import write_model

TEXTS = ("turn on the light", "stop", "a banana", "no")


@pytest.mark.parametrize(("script", "unit"), [(LATIN, "WER"), (HANZI, "CER")])
def test_error_rates_are_of_words_or_of_characters(tmp_path, script, unit):
    metadata = script_metadata(script) if script else None
    corpus = spoken_corpus(
        tmp_path / "corpus", tuple(text.replace(" ", "") if script else text for text in TEXTS), script
    )
    original, copy = tmp_path / "original/model.onnx", tmp_path / "copy/model.onnx"
    write_model(original, metadata=metadata)
    write_model(copy, confuse=("o", "q"), metadata=metadata)
    found = measure_difference(original, copy, corpus)
    letters = "".join(TEXTS).replace(" ", "")
    wrong, lengths = (letters.count("o"), len(letters)) if script else (3, 8)
    assert found.error_rates == pytest.approx((0.0, wrong / lengths))
    assert found.same_words == 0.25 and found.utterances == 4
    assert f"{unit} 0.00 % then, {100 * wrong / lengths:.2f} % now" in str(found)
