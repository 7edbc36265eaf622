"""Byte-level units as text."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from diminuendo.data.byte_level import ByteLevelTokenizer, byte_of, bytes_of, text_of
from diminuendo.data.text import load_tokenizer


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
