"""Texts to tokens, from the tokens of a file alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from diminuendo.data.byte_level import text_of
from diminuendo.runtime.seq2seq.bpe import Spelling, pieces
from tests.factories.text_models import PIECES, TOKENS, tokens_of

SPELLING = Spelling(TOKENS)
MERGES = [("Ġ", "t"), ("Ġt", "o"), ("Ġ", "h"), ("Ġh", "e"), ("Ġhe", "l"), ("l", "o"), ("Ġhel", "lo"), ("o", ",")]
TEXTS = st.text(alphabet=st.sampled_from("helo, t\n\t'sdr1½.é中ก़🙂\u00a0"), max_size=30) | st.text(max_size=20)


@pytest.fixture(scope="module")
def other():
    """The same vocabulary in the hands of the package tokenizers."""
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(PIECES)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


@settings(max_examples=40)
@given(text=TEXTS)
def test_tokens_are_those_of_the_package_tokenizers(other, text):
    text = text.replace("中", "").replace("文", "")  # which have tokens of their own and no merges
    assert SPELLING.tokens_of(text) == other.encode(text).ids


@settings(max_examples=40)
@given(text=TEXTS)
def test_nothing_is_lost(text):
    assert "".join(pieces(text)) == text
    assert text_of(TOKENS[number] for number in SPELLING.tokens_of(text)) == text


def test_the_earliest_pair_is_joined_first():
    assert SPELLING.tokens_of(" hello too,") == tokens_of(" hello", " to", "o", ",")
    assert SPELLING.tokens_of("中") == tokens_of("中")  # a whole piece needs no pairs


def test_what_no_token_spells_is_left_out():
    assert Spelling(["a", "<special:end>", "b"]).tokens_of("abc<special:end>b") == [0, 2, 0, 2]  # and one of "special"
    assert Spelling([]).tokens_of("abc") == []
