"""Files of format 2 from strangers: what they say of themselves, and what they give."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo import Recognizer, UserError
from diminuendo.artifact.stated import decoding_in
from diminuendo.runtime.model import AcousticModel
from diminuendo.runtime.seq2seq.model import TextModel
from diminuendo.runtime.trial import try_out
from tests.factories import onnx_models
from tests.factories.text_models import DECODING, SPECIAL, TOKENS, speak, tokens_of, write_text_model

SAID = speak(tokens_of(*"abc"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def read(**changes):
    return decoding_in({"diminuendo.decoding": json.dumps({**DECODING, **changes})}, len(TOKENS))


@given(key=st.sampled_from(sorted(DECODING)), value=JSON)
def test_a_strange_value_is_taken_or_named(key, value):
    try:
        found = read(**{key: value})
    except ValueError as error:
        assert "decoding" in str(error) and "\n" not in str(error) and len(str(error)) < 400
    else:
        numbers = [found.start, found.end, found.previous, found.no_speech, *found.languages.values()]
        assert all(type(number) is int and 0 <= number < len(TOKENS) for number in numbers)
        assert 0.1 <= found.longest_seconds <= 600 and found.most_tokens >= 1 and found.positions >= 8


@settings(max_examples=40)
@given(text=st.text(max_size=60) | JSON.map(json.dumps))
def test_a_strange_text_is_refused(text):
    with pytest.raises(ValueError, match="decoding"):
        decoding_in({"diminuendo.decoding": text}, len(TOKENS))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"end": len(TOKENS)}, r"decoding\.end is 439, expected a whole number from 0 to 438"),
        ({"start": True}, r"decoding\.start is True"),
        ({"languages": {"en": 3, "de": -1}}, r"decoding\.languages\.de is -1"),
        ({"languages": {"": 3}}, r"decoding\.languages has the code ''"),
        ({"languages": ["de"]}, r"decoding\.languages is \['de'\]"),
        ({"language": "fr"}, r"decoding\.language is 'fr', which is none"),
        ({"longest_seconds": 1e9}, r"decoding\.longest_seconds is 1000000000\.0, expected seconds"),
        ({"most_tokens": 0}, r"decoding\.most_tokens is 0"),
        ({"positions": 2.5}, r"decoding\.positions is 2\.5"),
        ({"previous": None}, r"decoding\.previous is missing"),
    ],
)
def test_damaged_metadata_are_one_sentence(tmp_path, changes, problem):
    path = write_text_model(tmp_path / "model.onnx", decoding=changes)
    with pytest.raises(
        UserError,
        match=f"metadata is damaged: {problem}".replace("439", str(len(TOKENS))).replace("438", str(len(TOKENS) - 1)),
    ):
        Recognizer(path)


def test_other_damage(tmp_path):
    with pytest.raises(UserError, match=r"there is no key diminuendo\.decoding"):
        Recognizer(write_text_model(tmp_path / "none.onnx", metadata={"decoding": None}))
    tokens = json.dumps([*TOKENS[:-1], "€"])
    with pytest.raises(UserError, match="character '€' among them, which spells no byte"):
        Recognizer(write_text_model(tmp_path / "euro.onnx", metadata={"tokens": tokens}))
    doors = onnx_models.write_model(tmp_path / "doors.onnx", metadata={"format": "2"})
    with pytest.raises(UserError, match=r"inputs .* expected .*prompt"):
        Recognizer(doors)
    with pytest.raises(UserError, match="writes its text itself, without frames"):
        AcousticModel(write_text_model(tmp_path / "text.onnx"))
    with pytest.raises(UserError, match=r"'diminuendo\.format' is '1', expected '2'"):
        TextModel(onnx_models.write_model(tmp_path / "ctc.onnx"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokens", np.array([[len(TOKENS)]])),
        ("tokens", np.array([[-1]])),
        ("tokens", np.array([3])),
        ("tokens", np.zeros((1, 1000), np.int64)),
        ("tokens", np.zeros((1, 1), np.int32)),
        ("log_probs", np.zeros((1, 2), np.float32)),
        ("log_probs", np.full((1, 13), np.nan, np.float32)),
        ("log_probs", np.full((1, 13), 0.5, np.float32)),
        ("lengths", np.array([-1])),
        ("lengths", np.array([14])),
        ("lengths", np.array([1, 1])),
        ("alignment", np.zeros((1, 1, 2, 5), np.float32)),
        ("alignment", np.full((1, 1, 13, 5), np.inf, np.float32)),
        ("alignment", np.zeros((1, 0, 13, 5), np.float32)),
        ("no_speech", np.array([2.0], np.float32)),
        ("no_speech", np.array([np.nan], np.float32)),
    ],
)
def test_outputs_that_do_not_go_together(tmp_path, name, value):
    assert len(SAID) == 13 * 160
    model = TextModel(write_text_model(tmp_path / "model.onnx", changed={name: value}), threads=1)
    with pytest.raises(UserError, match=rf"its output '(tokens|log_probs|lengths|{name})' .* does not go with"):
        model.write([SAID])


def test_several_rows_and_limits(tmp_path):
    model = TextModel(write_text_model(tmp_path / "model.onnx"), threads=1)
    one, other = model.write([SAID, speak(tokens_of(*"ab"))])
    assert (one.tokens.tolist(), other.tokens.tolist()) == (tokens_of(*"abc"), tokens_of(*"ab"))
    assert other.alignment.shape[:2] == (1, 3) and other.mean_log_prob == pytest.approx(-0.2 / 3)
    assert len(model.write([SAID], most=2)[0].tokens) == 2 and model.write([SAID], most=2)[0].alignment.shape[1] == 2
    assert len(model.write([SAID], [SPECIAL["start"], *[0] * 125, SPECIAL["notimestamps"]])[0].tokens) == 1


def test_a_file_is_tried_out(tmp_path):
    try_out(write_text_model(tmp_path / "model.onnx"))
    wrong = write_text_model(tmp_path / "wrong.onnx", changed={"lengths": np.array([-1])})
    with pytest.raises(UserError, match="its output 'lengths'"):
        try_out(wrong)
