"""The section ``gate``: what it refuses, and what files older than a key are judged by."""

from __future__ import annotations

import pytest

from diminuendo.core.errors import UserError
from diminuendo.parameters import load_params, parse_params
from tests.factories.audio import ROOT
from tests.factories.shipping import raw_params

NEW = ("wer", "cer", "min_utterances", "min_words", "min_characters", "min_speakers")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("wer", 1.0, "at 1 a model passes that recognises nothing"),
        ("wer", 15, "gate.wer: a share of the reference words from 0 to below 1, such as 0.15 for 15 %, found 15"),
        ("cer", -0.1, "gate.cer: a share of the reference characters"),
        ("cer", float("nan"), "gate.cer: input should be a finite number"),
        ("wer", True, "gate.wer: expected a number, found true"),
        ("min_utterances", True, "gate.min_utterances: expected a number, found true"),
        ("min_utterances", 0, "gate.min_utterances: input should be greater than 0, found 0"),
        ("min_words", 0.5, "gate.min_words: input should be a valid integer"),
        ("min_characters", -1, "gate.min_characters: input should be greater than 0"),
        ("min_speakers", -1, "gate.min_speakers: input should be greater than or equal to 0"),
        (
            "unit",
            "words",
            "gate.unit: this key is evaluate.measure now, for report and gate alike; write measure: wer",
        ),
        ("unit", "characters", "write measure: cer in the section evaluate"),
        ("unit", "auto", "write measure: auto in the section evaluate"),
        ("unit", "letters", "write measure: auto or wer or cer in the section evaluate"),
        ("unit", None, "write measure: auto or wer or cer in the section evaluate"),
        ("min_speaker", 1, "did you mean 'min_speakers'?"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(key, value, said):
    raw = raw_params()
    raw["gate"][key] = value
    with pytest.raises(UserError) as raised:
        parse_params(raw)
    head, line = str(raised.value).splitlines()
    assert "1 problem" in head and said in line


def test_a_file_older_than_the_keys_is_judged_all_the_same():
    raw = raw_params()
    raw["gate"] = {key: value for key, value in raw["gate"].items() if key not in NEW}
    gate = parse_params(raw).gate
    assert 0 < gate.wer <= 0.3 and 0 < gate.cer <= 0.3
    assert (
        gate.min_utterances >= 100 and gate.min_words >= 300 and gate.min_characters >= 300 and gate.min_speakers >= 2
    )


@pytest.mark.parametrize("name", ["params.yaml", "params/commands.yaml", "params/fsdd.yaml"])
def test_every_parameter_file_says_them(name):
    gate = load_params(ROOT / name).gate
    assert set(NEW) <= gate.model_fields_set
    assert gate.wer <= 0.2 and gate.cer <= 0.2


def test_a_required_signature_needs_a_key_to_check_it_with():
    for keys, said in (
        ({"signed": "required"}, "ship: signed: required needs `key`"),
        ({"signed": "sometimes", "key": "public.pem"}, "ship.signed: "),
        ({"signed": True, "key": "public.pem"}, "ship.signed: "),
    ):
        raw = raw_params()
        raw["ship"] |= keys
        with pytest.raises(UserError, match=said):
            parse_params(raw)
    raw["ship"] |= {"signed": "required"}
    assert parse_params(raw).ship.key == "public.pem"
