import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.labelling.spoken import spoken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world"),
        ("Don't — she said: 'no'.", "don't she said no"),
        ("the dogs’ dog’s", "the dogs dog's"),
        ("well-known 3.5 $", "well known 3 5"),
        ("...", ""),
        ("Straße „ja“", "straße ja"),
    ],
)
def test_words_alone(text, words):
    assert spoken(text) == words


def test_case_stays_where_the_corpus_has_it():
    assert spoken("Hello, World!", lowercase=False) == "Hello World"


@given(st.text(max_size=40))
def test_what_is_spoken_stays_as_it_is(text):
    assert spoken(spoken(text)) == spoken(text)
