"""The section ``evaluate``: which normaliser and which measure a file asks for."""

from __future__ import annotations

import pytest

from diminuendo.core.errors import UserError
from diminuendo.parameters import load_params, parse_params
from tests.factories.audio import ROOT
from tests.factories.shipping import raw_params

KEYS = ("normalizer", "measure")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("normalizer", "whisper", "input should be 'none', 'basic' or 'english', found 'whisper'"),
        ("normalizer", None, "input should be 'none', 'basic' or 'english', found None"),
        ("measure", "words", "input should be 'auto', 'wer' or 'cer', found 'words'"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(key, value, said):
    raw = raw_params()
    raw["evaluate"][key] = value
    with pytest.raises(UserError, match=f"evaluate.{key}: {said}"):
        parse_params(raw)


def test_a_file_older_than_the_keys_keeps_its_figures():
    raw = raw_params()
    raw["evaluate"] = {key: value for key, value in raw["evaluate"].items() if key not in KEYS}
    found = parse_params(raw).evaluate
    assert (found.normalizer, found.measure) == ("none", "auto")


@pytest.mark.parametrize("name", ["params.yaml", "params/commands.yaml", "params/fsdd.yaml"])
def test_every_parameter_file_says_them(name):
    found = load_params(ROOT / name).evaluate
    assert set(KEYS) <= found.model_fields_set and (found.normalizer, found.measure) == ("none", "auto")
