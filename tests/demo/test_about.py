"""What the page says of a model's descent."""

from __future__ import annotations

import json

import pytest

from diminuendo.bundled import MODEL, WORDS
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.demo.about import about
from tests.factories.onnx_models import write_model


def test_the_bundled_model():
    told = about(MODEL)
    assert (told["file"], told["words"], told["bytes"]) == ("digits.onnx", list(WORDS), MODEL.stat().st_size)
    assert [step["name"] for step in told["steps"]] == ["teacher", "slim", "slim-mixed"]
    made = [step["made"] for step in told["steps"]]
    assert made == ["trained", "pruned to 33 % of its weights", "quantized to 3.5 bits on average"]
    assert told["steps"][-1]["digest"] == told["digest"][:12] == sha256_of(MODEL)[:12]
    assert told["trained_on"] == "69 minutes of speech by 4 speakers, 1,599 recordings"


def test_another_model_has_no_list_of_words_and_says_only_what_its_record_does(tmp_path):
    told = about(write_model(tmp_path / "model.onnx", name="mine"))
    assert told["words"] is None and told["trained_on"] is None and not told["bundled"]
    assert told["name"] == "mine" and [step["name"] for step in told["steps"]] == ["mine"]


def test_a_record_that_is_its_own_ancestor_ends(tmp_path):
    loop = {"name": "a", "stage": "prune", "parents": {"a": "1" * 64}, "parameters": {}}
    record = json.dumps({**loop, "ancestors": {"1" * 64: loop}})
    assert len(about(write_model(tmp_path / "model.onnx", metadata={"lineage": record}))["steps"]) == 2


@pytest.mark.parametrize("lineage", ["[]", "{", '{"ancestors": 3}'])
def test_a_damaged_record_is_one_message(tmp_path, lineage):
    path = write_model(tmp_path / "model.onnx", metadata={"lineage": lineage})
    with pytest.raises(UserError, match=r"model\.onnx: its metadata cannot be read"):
        about(path)
