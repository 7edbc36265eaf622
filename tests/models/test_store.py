import json

import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.models.model import parameter_count
from diminuendo.models.store import load_model, save_model
from tests.factories.models import digest_of_weights, speech_batch, tiny_layer, tiny_model

TOKENS = ["<blank>", "▁", "a", "b", "c", "d"]
LAYERS = (tiny_layer(heads=0, ranks={"feed_forward_1.up": 3}), tiny_layer(convolution=4, feed_forward_2=0))


def test_a_model_comes_back_as_it_was(tmp_path):
    model = tiny_model(LAYERS)
    save_model(tmp_path, model, TOKENS)
    stored = load_model(tmp_path)
    assert stored.tokens == TOKENS
    assert stored.model.record == model.record
    assert digest_of_weights(stored.model) == digest_of_weights(model)
    assert not stored.model.training
    assert torch.equal(stored.model(*speech_batch())[0], model(*speech_batch())[0])


def test_the_bytes_depend_on_the_model_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, tiny_model(LAYERS), TOKENS)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: not there"):
        load_model(tmp_path)
    save_model(tmp_path, tiny_model(), TOKENS)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: not there"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "not json", "other record", "unknown key", "no tokens"])
def test_damaged_files_are_refused_without_a_traceback(tmp_path, damage):
    save_model(tmp_path, tiny_model(), TOKENS)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    stored = json.loads(config.read_text())
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "not json":
        config.write_text("{")
    elif damage == "other record":
        stored["architecture"]["layers"][0]["feed_forward_1"] = 13
    elif damage == "unknown key":
        stored["architecture"]["colour"] = 1
    elif damage == "no tokens":
        del stored["tokens"]
    if damage in ("other record", "unknown key", "no tokens"):
        config.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"build it again"):
        load_model(tmp_path)


def test_parameters_are_counted_without_buffers():
    model = tiny_model()
    assert parameter_count(model) == sum(p.numel() for p in model.parameters())


def test_the_map_of_layers_is_stored_and_may_be_absent(tmp_path):
    save_model(tmp_path, tiny_model(2), TOKENS, (1, 3))
    assert load_model(tmp_path).teacher_layers == (1, 3)
    config = tmp_path / "config.json"
    stored = json.loads(config.read_text())
    del stored["teacher_layers"]  # as it was before the key
    config.write_text(json.dumps(stored))
    assert load_model(tmp_path).teacher_layers is None
    save_model(tmp_path, tiny_model(2), TOKENS)
    assert "teacher_layers" not in json.loads(config.read_text())


@pytest.mark.parametrize("layers", [[1], [1, -1], [0, "1"], 3])
def test_a_map_that_does_not_fit_the_layers_is_refused(tmp_path, layers):
    save_model(tmp_path, tiny_model(2), TOKENS)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"teacher_layers": layers}))
    with pytest.raises(UserError, match=r"build it again"):
        load_model(tmp_path)
