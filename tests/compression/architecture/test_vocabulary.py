"""Tokens that a whole Whisper is left: chosen by script, by what it expects, and by what the corpus needs."""

import pytest
from pydantic import ValidationError

from diminuendo.compression.architecture.config import CompressArchitectureConfig, VocabularyConfig
from diminuendo.compression.architecture.description import in_words
from diminuendo.compression.architecture.expected import expected_tokens
from diminuendo.compression.architecture.vocabulary import trim
from diminuendo.core.errors import UserError
from diminuendo.models.whisper.seq2seq.module import Whisper
from tests.factories.models import ToneCorpus, tiny_model
from tests.factories.whisper_text import tiny_text_whisper
from tests.factories.whisper_vocabulary import FIRST, SPECIAL, SPELT, VOCABULARY, spelt, vocabulary_tokenizer

TEXTS = ("bed cab", "a cab")


def model() -> Whisper:
    return tiny_text_whisper(vocabulary=VOCABULARY, special=SPECIAL)


def corpus(train: tuple[str, ...] = TEXTS, dev: tuple[str, ...] = TEXTS[:1]) -> ToneCorpus:
    return ToneCorpus(train, dev, (), tokenizer=vocabulary_tokenizer())


def left(of: ToneCorpus | None = None, **keys) -> set[str]:
    """Tokens of text that stay beside single bytes."""
    trimmed, tokens, figures = trim(model(), of or corpus(), VocabularyConfig(**keys), 0)
    assert figures["tokens"] == len(tokens) == trimmed.record.vocabulary
    assert figures["parameters_before"] - figures["parameters"] == 8 * (VOCABULARY - len(tokens))
    assert tokens == [token for token in SPELT if token in set(tokens)]  # in their order
    assert set(SPELT[:256]) | set(SPELT[FIRST:]) <= set(tokens)
    return {token for token in tokens if len(token) > 1 and token in SPELT[:FIRST]}


FIGURES = {"Ġ1", "Ġ19"}
ASCII = {token for token in SPELT[256:FIRST] if set(token) <= set("Ġabcdeht")} | {"ĠB", "ĠD"} | FIGURES


def test_tokens_of_a_script_stay_and_what_they_are_joined_from():
    assert left(characters="ascii") == ASCII
    assert left(characters="latin") == ASCII | {spelt("é"), spelt(" dé"), spelt("…"), spelt("…")[:2]}


def test_what_the_corpus_needs_stays_with_capitals_too():
    needed = {"Ġa", "ab", "Ġc", "Ġcab", "Ġb", "Ġbe", "Ġbed", "ĠB"}  # Bed Cab, and no token begins with ĠC
    words = corpus(("bed cab", "a cab", "да"), ())
    assert left(words, characters="ascii", most=1) - {spelt("д"), spelt("а"), spelt("да")} >= needed
    assert left(words, characters="ascii", most=1) >= {spelt("д"), spelt("а"), spelt("да")}
    assert len(left(words, characters="ascii", most=1) - needed) <= 3 + 3  # those of да, and one with its parts


def test_of_many_those_stay_that_the_model_expects():
    expected = expected_tokens(model(), corpus(), 0)
    assert expected.shape == (VOCABULARY,) and expected.sum() == pytest.approx(len(expected_rows()), rel=1e-4)
    text = [token for token in range(FIRST) if SPELT[token].isascii() or SPELT[token] in ASCII]
    text = [token for token in text if SPELT[token] in ASCII or len(SPELT[token]) == 1]
    favourite = max(text, key=lambda token: expected[token])
    for most in (1, 5):
        assert SPELT[favourite] in left(most=most, characters="ascii") | set(SPELT[:256])
    assert left(most=5, characters="ascii") <= left(most=30, characters="ascii") <= left(characters="ascii")


def expected_rows() -> list[int]:
    """Tokens of the corpus' texts as sentences, and the end."""
    return [*vocabulary_tokenizer().encode("Bed cab. A cab.")[: model().record.most_tokens - 1], SPECIAL.end]


@pytest.mark.parametrize("texts", [TEXTS, ("bed 19", "1 cab")])
def test_without_figures_no_number_is_written_in_digits(texts):
    assert left(corpus(texts), figures=False) == set(SPELT[256:FIRST]) - FIGURES
    assert not left(corpus(texts), figures=False, most=30, characters="ascii") & FIGURES
    trimmed, tokens, _ = trim(model(), corpus(texts), VocabularyConfig(figures=False), 0)
    suppressed = {tokens[token] for token in trimmed.record.special.suppressed}
    before = {SPELT[token] for token in SPECIAL.suppressed}
    assert suppressed == before - FIGURES | set("0123456789")


def test_languages_that_are_not_named_are_told_no_more_and_their_tokens_stay():
    trimmed, tokens, _ = trim(model(), corpus(), VocabularyConfig(characters="ascii", languages=("de",)), 0)
    assert trimmed.record.special.default_language == "de" and "<special:en>" in tokens
    with pytest.raises(UserError, match=r"^languages: fr; the model can be told to write en, de$"):
        trim(model(), corpus(), VocabularyConfig(characters="ascii", languages=("fr",)), 0)


def test_a_member_that_would_be_its_parent_is_refused_and_one_of_fewer_languages_is_not():
    with pytest.raises(UserError, match=rf"^vocabulary: all of the {VOCABULARY} tokens would stay"):
        trim(model(), corpus(), VocabularyConfig(most=10**6), 0)
    trimmed, tokens, _ = trim(model(), corpus(), VocabularyConfig(most=10**6, languages=("en",)), 0)
    assert tokens == SPELT and list(trimmed.record.languages) == ["en"]


def test_a_model_that_does_not_write_token_after_token_is_refused():
    with pytest.raises(UserError, match=r"^vocabulary: models of kind conformer do not write token after token"):
        trim(tiny_model(), corpus(), VocabularyConfig(characters="ascii"), 0)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"vocabulary": {}}, "every token would stay; give characters: latin or ascii, or most, or both, or figures"),
        ({"vocabulary": {"languages": ["en"]}}, "every token would stay"),
        ({"vocabulary": {"most": 5, "languages": []}}, "languages: none is left"),
        ({"vocabulary": {"most": 5, "languages": ["en", "en"]}}, "has one of them twice"),
        ({"vocabulary": {"most": 5}, "remove_layers": {"count": 1}}, "vocabulary stands alone"),
        ({"vocabulary": {"most": 5}, "low_rank": {"budget": 0.5}}, "vocabulary stands alone"),
        ({"vocabulary": {"most": 5}, "losses": {"kl": 1.0}}, "with vocabulary nothing is trained"),
        ({"vocabulary": {"most": 5}, "training": {"epochs": 1}}, "with vocabulary nothing is trained"),
        ({}, "give low_rank or remove_layers, or both, or vocabulary"),
    ],
)
def test_settings_that_mean_nothing_are_refused_in_a_sentence(keys, said):
    with pytest.raises(ValidationError, match=said):
        CompressArchitectureConfig.model_validate({"from": "teacher", **keys})


def test_settings_are_told_in_words():
    def words(**vocabulary) -> str:
        return in_words(CompressArchitectureConfig.model_validate({"from": "teacher", "vocabulary": vocabulary}))

    assert words(characters="latin", most=18000, languages=["en"]) == "18,000 latin tokens, en"
    assert words(characters="ascii") == "ascii tokens" and words(most=500) == "500 tokens"
    assert words(figures=False) == "no figures" and words(most=500, figures=False) == "500 tokens, no figures"
