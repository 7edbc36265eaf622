import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.data.text import (
    BLANK,
    SPACE,
    CharacterTokenizer,
    SentencePieceTokenizer,
    load_tokenizer,
    normalize,
    train_tokenizer,
    unprintable,
)

TEXTS = [
    "turn on the light",
    "turn off the radio",
    "play the next song",
    "what's the time",
    "打开 厨房 的 灯",
    "öffne das fenster",
]
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@given(any_text, st.booleans())
def test_normalising_twice_changes_nothing_more(text, lowercase):
    once = normalize(text, lowercase)
    assert normalize(once, lowercase) == once
    assert once == " ".join(once.split()) and SPACE not in once
    assert unicodedata.is_normalized("NFC", once)


def test_normalising_joins_accents_collapses_white_space_and_lowers_case():
    assert normalize("  E\u0301COLE\t\u3000Zwei\n", lowercase=True) == "école zwei"
    assert normalize("Zwei", lowercase=False) == "Zwei"


def test_control_characters_and_lone_surrogates_are_no_text():
    assert unprintable("a\x00b\ud800 \t\n") == ["\x00", "\ud800"]
    assert unprintable("नमस्ते 👩‍🚀 你好") == []


@given(st.lists(any_text, min_size=1, max_size=4))
def test_characters_round_trip_for_any_text(raw):
    texts = [normalize(text, lowercase=False) for text in raw]
    tokenizer = CharacterTokenizer.train(texts)
    assert tokenizer.tokens[:2] == [BLANK, SPACE] and len(set(tokenizer.tokens)) == len(tokenizer.tokens)
    for text in texts:
        ids = tokenizer.encode(text)
        assert 0 not in ids
        assert tokenizer.decode(ids) == text
        assert "".join(tokenizer.tokens[i] for i in ids).replace(SPACE, " ").strip() == text


@given(st.lists(any_text, min_size=1, max_size=3))
def test_sentencepiece_writes_back_any_text_of_its_vocabulary(raw):
    texts = [text for text in (normalize(text, lowercase=False) for text in raw) if text and not unprintable(text)]
    if not texts:
        return
    tokenizer = SentencePieceTokenizer.train(texts, len(set("".join(texts)) | {" "}) + 1)
    for text in texts:
        ids = tokenizer.encode(text)
        assert 0 not in ids and tokenizer.decode(ids) == text


def test_sentencepiece_is_the_same_bytes_twice_and_after_loading(tmp_path):
    first, second = (train_tokenizer("sentencepiece", TEXTS, 60) for _ in range(2))
    assert first.model == second.model
    assert first.tokens[0] == BLANK and len(first.tokens) == 60
    first.save(tmp_path)
    loaded = load_tokenizer("sentencepiece", first.tokens, tmp_path)
    for text in TEXTS:
        assert loaded.encode(text) == first.encode(text)
        assert loaded.decode(loaded.encode(text)) == text
    assert any(len(loaded.encode(text)) < len(text) for text in TEXTS), "no unit is longer than a character"


def test_a_model_of_other_tokens_is_refused(tmp_path):
    train_tokenizer("sentencepiece", TEXTS, 60).save(tmp_path)
    with pytest.raises(UserError, match="do not belong together"):
        load_tokenizer("sentencepiece", [BLANK, "a"], tmp_path)


@pytest.mark.parametrize("units", ["characters", "sentencepiece"])
def test_unknown_characters_are_named(units):
    tokenizer = train_tokenizer(units, TEXTS, 60)
    assert tokenizer.unknown_characters("the ß light") == ["ß"]
    with pytest.raises(UserError, match=r"'ß' \(U\+00DF\) not in the vocabulary"):
        tokenizer.encode("the ß light")


def test_impossible_vocabulary_sizes_say_what_is_possible():
    needed = len(set("".join(TEXTS))) + 1
    with pytest.raises(UserError, match=rf"vocab_size: 3 is too small.*give {needed} or more"):
        train_tokenizer("sentencepiece", TEXTS, 3)
    with pytest.raises(UserError, match=r"vocab_size: sentencepiece cannot make 5000 tokens from 6 training texts"):
        train_tokenizer("sentencepiece", TEXTS, 5000)
