"""Whisper's normalisers: what they make equal, and that they are those that the field compares by."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import pytest

from diminuendo.core.errors import UserError
from diminuendo.metrics import normalizers
from diminuendo.metrics.error_rates import count_errors
from diminuendo.metrics.normalizers import in_words, normalizer_of, told

PAIRS = [  # reference, hypothesis; which normalisers make them equal
    ("it's", "it is", {"english"}),
    ("we won't go", "we will not go", {"english"}),
    ("twenty one", "21", {"english"}),
    ("two thousand and five", "2005", {"english"}),
    ("colour", "color", {"english"}),
    ("doctor smith", "Dr. Smith", {"english"}),
    ("um so they left", "so they left", {"english"}),
    ("Hello, world!", "hello world", {"basic", "english"}),
    ("so (laughs) they left", "so they left", {"basic", "english"}),
    ("right", "left", set()),
]


def errors(reference: str, hypothesis: str) -> int:
    return count_errors([reference], [hypothesis])[0].word_errors


@pytest.mark.parametrize(("reference", "hypothesis", "equal"), PAIRS)
def test_what_each_makes_equal(reference, hypothesis, equal):
    assert errors(reference, hypothesis)
    for name in ("basic", "english"):
        normalizer = normalizer_of(name)
        assert (errors(normalizer(reference), normalizer(hypothesis)) == 0) is (name in equal), name


def test_none_is_none():
    assert normalizer_of("none") is None and told(normalizers.NO_NORMALIZER) == ""


def test_the_record_names_the_packages_version():
    record = normalizer_of("english").record
    assert record == {"name": "english", "package": "whisper_normalizer", "version": version("whisper_normalizer")}
    assert in_words(record) == f"english (whisper_normalizer {record['version']})"


SENTENCES = [
    "Mr. Brown's colour television cost two thousand three hundred and forty-five dollars and seven cents.",
    "I've been there since nineteen sixty, she'd gone; it wasn't the twenty first of may.",
    "He organised a theatre programme (with travellers) at half past ten, y'all.",
    "One oh one dalmatians, double seven o five, minus three point one four percent.",
    "Café naïve, straße — æther … [noise] uh hmm",
    "打开客厅的灯。",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_they_are_those_that_transformers_scores_by(text):
    whisper = pytest.importorskip("transformers.models.whisper.english_normalizer")
    spelling = json.loads(files("whisper_normalizer").joinpath("normalizers/english.json").read_text(encoding="utf-8"))
    assert normalizer_of("english")(text).split() == whisper.EnglishTextNormalizer(spelling)(text).split()
    assert normalizer_of("basic")(text).split() == whisper.BasicTextNormalizer()(text).split()


def test_a_text_that_the_package_fails_on_is_named(monkeypatch):
    def fails():
        def function(text):
            raise AssertionError("a bug")

        return function

    monkeypatch.setitem(normalizers._FUNCTIONS, "english", fails)
    with pytest.raises(UserError, match=r"english .* fails on the text 'odd' \(AssertionError: a bug\)"):
        normalizer_of("english")("odd")


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "whisper_normalizer.english", None)
    with pytest.raises(UserError, match="english needs the package whisper_normalizer"):
        normalizer_of("english")


def test_the_package_is_loaded_only_where_it_is_asked_for_and_loads_no_torch():
    code = (
        "import sys; from diminuendo.metrics import normalizers as n; n.normalizer_of('none')\n"
        "assert 'whisper_normalizer' not in sys.modules\n"
        "n.normalizer_of('english')('colour'); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
