"""Byte-level units as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from diminuendo.core.errors import UserError
from diminuendo.data.byte_level import ByteLevelTokenizer, byte_of, bytes_of, text_of
from diminuendo.data.text import load_tokenizer
from diminuendo.runtime.seq2seq.bpe import Spelling
from tests.factories.whisper_vocabulary import FIRST, PAIRS, SPELT, spelt, vocabulary_json, vocabulary_tokenizer


def tokenizer() -> ByteLevelTokenizer:
    vocabulary = {character: number for number, character in enumerate(byte_of())}
    vocabulary |= {"Ġh": 256, "Ġhe": 257}
    fast = Tokenizer(models.BPE(vocabulary, [("Ġ", "h"), ("Ġh", "e")]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return ByteLevelTokenizer(fast.to_str().encode(), [*vocabulary, "<special:endoftext>"])


def test_every_byte_has_one_printable_character():
    assert sorted(byte_of().values()) == list(range(256)) and len(byte_of()) == 256
    assert all(character.isprintable() for character in byte_of())
    assert bytes_of("Ġhé") == b" h\xe9" and bytes_of("<special:en>") == b""


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_text_is_written_and_read_back(text):
    ours = tokenizer()
    assert ours.decode(ours.encode(text)) == text.strip()
    assert not ours.unknown_characters(text)


def test_a_word_begins_with_its_space():
    assert tokenizer().encode("hello")[0] == 257
    assert tokenizer().decode([257, 258]) == "he"  # what stands for no text is left out


def test_half_a_character_is_marked():
    assert text_of(["Ã"]) == "\ufffd"
    assert text_of(["Ã", "©"]) == "é"


def test_a_stored_tokenizer_is_opened_again(tmp_path):
    ours = tokenizer()
    ours.save(tmp_path)
    again = load_tokenizer(ours.units, ours.tokens, tmp_path)
    assert again.encode("hello wörld") == ours.encode("hello wörld") and again.tokens == ours.tokens


def trimmed(left: set[int]) -> ByteLevelTokenizer:
    """The bytes, these tokens of text and what they are joined from, and all that stand for no text."""
    whole = vocabulary_tokenizer()
    kept = whole.joined_from(left | set(range(256)))
    return vocabulary_tokenizer([token for index, token in enumerate(SPELT) if index in kept or index >= FIRST])


WRITTEN = st.one_of(
    st.text(st.sampled_from("abcde théдаBD…ж<|>"), max_size=30),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    st.just("bed <|endoftext|> <|en|>"),
)
LEFT = st.sets(st.integers(256, FIRST - 1))


@given(WRITTEN, LEFT)
def test_fewer_tokens_write_any_text_too(text, left):
    ours = trimmed(left)
    ids = ours.encode(text)
    assert ours.decode(ids) == text.strip() and all(0 <= index < len(ours.tokens) for index in ids)
    assert not any(ours.tokens[index].startswith("<special:") for index in ids)


@given(WRITTEN, LEFT)
def test_a_text_whose_tokens_are_left_is_cut_as_by_all(text, left):
    whole = vocabulary_tokenizer()
    needed = whole.encode(text)
    ours = trimmed(left | set(needed))
    assert [ours.tokens[index] for index in ours.encode(text)] == [whole.tokens[index] for index in needed]


@given(st.text(st.sampled_from("abcde théдаBD…ж<|>"), max_size=30), LEFT)
def test_a_program_that_has_the_tokens_alone_cuts_prompts_in_the_same_way(text, left):
    ours = trimmed(left)
    assert ours.encode(text) == Spelling(ours.tokens).tokens_of(f" {text}")


def test_a_token_that_is_left_out_is_written_by_those_that_it_was_joined_from():
    whole, ours = vocabulary_tokenizer(), trimmed({SPELT.index("Ġbe")})
    assert [whole.tokens[i] for i in whole.encode("bed да")] == ["Ġbed", "Ġ", spelt("да")]
    assert [ours.tokens[i] for i in ours.encode("bed да")] == ["Ġbe", "d", "Ġ", *spelt("да")]


def test_what_a_token_is_joined_from_is_found_down_to_the_bytes():
    found = vocabulary_tokenizer().joined_from([SPELT.index("Ġthe"), SPELT.index("<special:en>")])
    assert {SPELT[i] for i in found} == {"Ġthe", "Ġth", "Ġt", "Ġ", "t", "h", "e", "<special:en>"}


def test_what_a_text_says_is_no_token_of_another_kind():
    whole = vocabulary_tokenizer()
    assert max(whole.encode("bed <|endoftext|>")) < FIRST


@pytest.mark.parametrize("lost", ["Ġt", "Ġbe", "ab"])
def test_a_pair_that_the_file_has_lost_is_found_again(lost):
    pairs = [pair for pair in PAIRS if "".join(pair) != lost]
    ours = ByteLevelTokenizer(vocabulary_json(pairs).encode(), SPELT)
    for text in ("the cab bed", "tab abbe da"):
        assert ours.encode(text) == vocabulary_tokenizer().encode(text)


def test_a_file_that_joins_no_pairs_is_refused_in_a_sentence():
    fast = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(UserError, match=r"tokenizer\.json: it joins no pairs, as byte-level BPE does"):
        ByteLevelTokenizer(fast.to_str().encode(), ["a"])
