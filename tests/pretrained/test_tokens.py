"""The vocabulary of a checkpoint in this project's order, from each kind of file; one that does not fit is refused."""

import base64
import json

import pytest

from diminuendo.core.errors import UserError
from diminuendo.pretrained.folder import MOST_JSON_BYTES, CheckpointFolder
from diminuendo.pretrained.tokens import vocabulary_of
from tests.factories.checkpoint import (
    LETTERS_FIRST,
    ORDER,
    change,
    write,
    write_checkpoint,
    write_fast_tokenizer,
    write_sentencepiece,
)

TOKENS = ["<blank>", "▁", "a", "b", "c", "d", "e", "<special:unk>"]


# Rust gives up on it, which is no Exception in Python.
CHARSMAP = json.dumps(
    {
        "version": "1.0",
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"damaged").decode()},
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
    }
).encode()


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path / "checkpoint")


@pytest.fixture
def bare(tmp_path):
    """A checkpoint whose tokenizer the test writes."""
    return write_checkpoint(tmp_path / "bare", vocabulary=None, vocab_size=8, pad_token_id=7)


def vocabulary(folder, size=8, blank=7, lowercase=True):
    return vocabulary_of(CheckpointFolder(folder), size, blank, lowercase)


def refusal(folder, *arguments, **named):
    with pytest.raises(UserError) as error:
        vocabulary(folder, *arguments, **named)
    said = str(error.value)
    assert "\n" not in said and len(said) < 500, said
    return said


def test_letters_are_taken_in_our_order_and_spelling(folder):
    found = vocabulary(folder)
    assert (found.tokens, found.order) == (TOKENS, ORDER)
    ids = found.tokenizer.encode("a bad cab")
    assert found.tokenizer.decode(ids) == "a bad cab" and found.tokenizer.unknown_characters("a fax") == ["f", "x"]


def test_capitals_stay_capitals_where_texts_have_them(folder):
    assert vocabulary(folder, lowercase=False).tokens[2:7] == list("ABCDE")
    tokens = {"|": 0, "a": 1, "A": 2, "<pad>": 3}
    write(folder / "vocab.json", tokens)
    assert vocabulary(folder, 4, 3, lowercase=False).tokens == ["<blank>", "▁", "a", "A"]
    assert "vocab.json: tells capitals from small letters; set text.lowercase: false" in refusal(folder, 4, 3)


def test_a_delimiter_of_the_checkpoints_own_is_the_space(folder):
    write(folder / "vocab.json", {"*": 0, "|": 1, "<pad>": 2})
    change(folder / "tokenizer_config.json", word_delimiter_token={"content": "*", "lstrip": False})
    assert vocabulary(folder, 3, 2).tokens == ["<blank>", "▁", "|"]


def test_special_tokens_have_no_text_wherever_the_folder_names_them(folder):
    write(folder / "vocab.json", {"[START]": 0, "a": 1, "[MASK]": 2, "<pad>": 3})
    write(folder / "added_tokens.json", {"<end>": 4})
    write(folder / "special_tokens_map.json", {"mask_token": "[MASK]", "eos_token": {"content": "<end>"}})
    change(folder / "tokenizer_config.json", bos_token="[START]")
    found = vocabulary(folder, 5, 3)
    assert found.tokens == ["<blank>", "<special:START>", "a", "<special:MASK>", "<special:end>"]
    assert found.tokenizer.decode([1, 2, 3, 4]) == "a"


def test_a_sentencepiece_model_is_read(bare):
    size = write_sentencepiece(bare)
    found = vocabulary(bare, size + 1, size)
    assert found.order == (size, *range(size))
    assert found.tokens[:4] == ["<blank>", "<special:unk>", "<special:s>", "<special:/s>"]
    ids = found.tokenizer.encode("a bad cab")
    assert found.tokenizer.decode(ids) == "a bad cab" and found.tokenizer.unknown_characters("bad é") == ["é"]


def test_a_tokenizer_of_subwords_is_read(bare):
    size = write_fast_tokenizer(bare)
    found = vocabulary(bare, size + 1, size)
    assert found.order == (size, *range(size)) and found.tokens[:2] == ["<blank>", "<special:unk>"]
    ids = found.tokenizer.encode("a bad cab")
    assert found.tokenizer.decode(ids) == "a bad cab" and found.tokenizer.unknown_characters("bad é") == ["é"]


def test_a_blank_among_the_tokens_of_a_file_goes_first(bare):
    size = write_fast_tokenizer(bare)
    found = vocabulary(bare, size, 5)
    assert found.order == (5, 0, 1, 2, 3, 4, *range(6, size)) and len(found.tokens) == size


def test_what_a_vocabulary_was_read_from_is_stored_with_the_corpus(bare, tmp_path):
    from diminuendo.data.text import load_tokenizer

    write_sentencepiece(bare)
    found = vocabulary(bare, 21, 20).tokenizer
    (tmp_path / "corpus").mkdir()
    found.save(tmp_path / "corpus")
    again = load_tokenizer(found.units, found.tokens, tmp_path / "corpus")
    assert again.tokens == found.tokens and again.encode("dad bed") == found.encode("dad bed")


def test_without_a_tokenizer_nobody_knows_what_the_outputs_mean(bare):
    assert "none of vocab.json, tokenizer.json, tokenizer.model is there" in refusal(bare)


@pytest.mark.parametrize("blank", [-1, 8, 100])
def test_a_blank_that_is_no_output_is_refused(folder, blank):
    assert f"pad_token_id {blank}, the blank, is none of the head's 8 outputs" in refusal(folder, 8, blank)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (5, "1 token(s) beyond the last output, such as 'E'"),
        (10, "no token for 2 output(s), such as 8"),
        (10**15, "no token for 999999999999992 output(s), such as 8"),
    ],
)
def test_a_vocabulary_that_does_not_fit_the_head_is_refused(folder, size, expected):
    said = refusal(folder, size, 0)
    assert said.startswith(f"{folder / 'vocab.json'}: does not fit the head, which has {size} outputs: {expected}")


def test_subwords_that_do_not_fit_the_head_are_refused(bare):
    size = write_fast_tokenizer(bare)
    assert "no token for 3 output(s)" in refusal(bare, size + 4, size)
    (bare / "tokenizer.json").unlink()
    size = write_sentencepiece(bare)
    assert "beyond the last output" in refusal(bare, size - 3, 0)


def test_two_tokens_with_one_index_are_refused(folder):
    write(folder / "vocab.json", {**LETTERS_FIRST, "F": 3})
    assert "vocab.json: two tokens have one index" in refusal(folder)


def test_two_outputs_with_one_spelling_are_refused(folder):
    write(folder / "vocab.json", {**LETTERS_FIRST, " ": 8})
    assert "vocab.json: '▁' stands for several outputs" in refusal(folder, 9, 7)


@pytest.mark.parametrize(
    "content",
    [
        {"a": 0, "b": {"c": 1}},
        {"a": "0"},
        {"a": 0.5},
        {"a": True},
        {},
    ],
    ids=["nested", "texts", "fractions", "truth", "empty"],
)
def test_a_vocabulary_that_is_no_table_of_indices_is_refused(folder, content):
    write(folder / "vocab.json", content)
    assert "vocab.json: expected each token with its index" in refusal(folder)


def test_half_a_character_is_no_text(folder):
    write(folder / "vocab.json", {**{t: i for t, i in LETTERS_FIRST.items() if t != "E"}, "\ud83d": LETTERS_FIRST["E"]})
    assert "vocab.json: the token '\\ud83d' is no text" in refusal(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_a_tokenizer_beyond_any_size_is_not_read(bare, name):
    with open(bare / name, "wb") as file:
        file.truncate(MOST_JSON_BYTES + 1)
    assert f"{name}: {MOST_JSON_BYTES + 1} bytes, more than any file of its kind" in refusal(bare)


def test_a_vocabulary_by_language_says_what_to_do(folder):
    write(folder / "vocab.json", {"eng": {"a": 0, "<pad>": 1}, "deu": {"ä": 0, "<pad>": 1}})
    assert "found vocabularies of 2 languages (deu, eng …); load the checkpoint for one of them" in refusal(folder)


def test_byte_level_units_are_refused(bare):
    size = write_fast_tokenizer(bare, size=300, of_bytes=True)
    said = refusal(bare, size + 1, size)
    assert "tokenizer.json: its units are bytes (byte-level BPE)" in said and "teacher.head: ctc" in said


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("tokenizer.json", b"{", "not a tokenizer"),
        ("tokenizer.json", b"\xff\xfe", "not a tokenizer"),
        ("tokenizer.json", json.dumps({"version": "1.0", "model": {"type": "Magic"}}).encode(), "not a tokenizer"),
        ("tokenizer.json", b"[" * 100_000, "not a tokenizer"),
        ("tokenizer.json", CHARSMAP, "not a tokenizer"),
        ("tokenizer.model", b"no model", "not a sentencepiece model"),
        ("tokenizer.model", b"", "does not fit the head"),
        ("vocab.json", b"[1]", "expected a mapping"),
        ("vocab.json", b"{", "not JSON"),
    ],
)
def test_a_tokenizer_that_cannot_be_read_is_refused(bare, name, content, expected):
    (bare / name).write_bytes(content)
    assert refusal(bare).startswith(f"{bare / name}: {expected}")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
def test_a_file_beside_the_vocabulary_that_is_no_mapping_is_named(folder, name):
    (folder / name).write_text("[1]")
    assert refusal(folder).startswith(f"{folder / name}: expected a mapping")


def test_letters_with_their_indices_go_before_a_tokenizer_beside_them(folder):
    write_fast_tokenizer(folder)
    assert vocabulary(folder).tokens == TOKENS


@pytest.mark.parametrize("told", [{"pad_token": "<pad>"}, {"pad_token": {"content": "<pad>"}}, {}])
def test_a_blank_that_is_not_what_the_tokenizer_pads_with_is_refused(folder, told):
    write(folder / "tokenizer_config.json", told)
    said = refusal(folder, blank=1)
    assert "vocab.json: '<pad>', the blank of CTC, has the index 7, and config.json says 1 (pad_token_id)" in said
    write(folder / "tokenizer_config.json", {"pad_token": "<nowhere>"})
    assert vocabulary(folder, blank=1).tokens[0] == "<blank>"
