"""A checkpoint as a model of a known family: its record, its weights in our order, and what lineage says of it."""

import pytest
import torch
from safetensors.torch import load_file

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.pretrained.checkpoint import Checkpoint, layers_at_hand, opened
from tests.factories.audio import RATE
from tests.factories.checkpoint import ORDER, change, write_checkpoint, write_weights


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path / "checkpoint")


def checkpoint(folder, **keys):
    return Checkpoint(PretrainedConfig(path=str(folder), **keys))


def refusal(folder, asked):
    with pytest.raises(UserError) as error:
        asked(checkpoint(folder))
    said = str(error.value)
    assert "\n" not in said and len(said) < 600, said
    return said


def model_of(own):
    found = own.vocabulary(lowercase=True)
    return own.model(len(found.tokens), found.order)


def alter(folder, change_tensors):
    tensors = load_file(folder / "model.safetensors")
    change_tensors(tensors)
    write_weights(folder, tensors)


def test_what_the_description_says_is_known_before_weights_are_read(folder):
    own = checkpoint(folder)
    assert (own.kind, own.layers, own.frame_seconds) == ("transformer-of-the-tests", 2, 0.04)
    assert own.has_ctc_head and own.record(9).vocabulary == 9
    assert layers_at_hand(PretrainedConfig(path=str(folder))) == 2
    assert layers_at_hand(PretrainedConfig(path=str(folder / "nowhere"))) is None


def test_the_head_has_our_order_and_everything_else_is_as_it_was(folder):
    model, foreign = model_of(checkpoint(folder)), load_file(folder / "model.safetensors")
    assert not model.training and model.record.vocabulary == 8
    for name, tensor in model.state_dict().items():
        if name.startswith("to_tokens."):
            assert tensor.equal(foreign[name.replace("to_tokens.", "lm_head.")][list(ORDER)])
        else:
            assert tensor.equal(foreign[f"transformer.{name}"])


def test_shards_and_half_precision_give_the_same_model(tmp_path, folder):
    whole = model_of(checkpoint(folder)).state_dict()
    sharded = model_of(checkpoint(write_checkpoint(tmp_path / "sharded", shards=3))).state_dict()
    half = model_of(checkpoint(write_checkpoint(tmp_path / "half", dtype="bfloat16"))).state_dict()
    for name, tensor in whole.items():
        assert sharded[name].equal(tensor) and half[name].dtype == torch.float32
        assert torch.allclose(half[name], tensor, atol=0.01)


def test_a_new_head_is_drawn_and_the_encoder_is_the_checkpoints(tmp_path):
    own = checkpoint(write_checkpoint(tmp_path / "encoder", head=False))
    assert not own.has_ctc_head
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(own.model(30, None).state_dict())
    assert heads[0]["to_tokens.weight"].shape == (30, 8)
    assert heads[0]["to_tokens.weight"].equal(heads[1]["to_tokens.weight"])
    assert not heads[0]["to_tokens.weight"].equal(heads[2]["to_tokens.weight"])
    assert heads[0]["encoder.stem.weight"].equal(heads[2]["encoder.stem.weight"])


def test_a_new_head_takes_the_place_of_one_that_is_there(folder):
    state = checkpoint(folder).model(30, None).state_dict()
    assert state["to_tokens.weight"].shape == (30, 8)


def test_facts_name_a_folder_by_its_last_part_and_hash_every_file(tmp_path, folder):
    facts = checkpoint(folder).facts()
    assert (facts["source"], facts["licence"]) == ("checkpoint", "apache-2.0") and "revision" not in facts
    assert facts["files"] == {path.name: sha256_of(path) for path in folder.iterdir()}
    (tmp_path / "elsewhere").mkdir()
    folder.rename(tmp_path / "elsewhere/checkpoint")
    assert checkpoint(f"{tmp_path}/elsewhere/../elsewhere/checkpoint/").facts() == facts
    assert str(tmp_path) not in str(facts)


def test_a_licence_that_the_user_states_is_the_one_that_counts(folder):
    assert checkpoint(folder, licence="by contract").facts()["licence"] == "by contract"
    (folder / "README.md").unlink()
    assert checkpoint(folder).facts()["licence"] == "not stated"


def test_an_unknown_type_is_named_with_those_that_are_known(folder):
    change(folder / "config.json", model_type="seamless_m4t")
    said = refusal(folder, lambda own: own)
    assert "model_type 'seamless_m4t' is not known; there are: " in said and "wav2vec2" in said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"hidden_size": None}, "'hidden_size' is missing"),
        ({"hidden_size": "wide"}, "does not describe a tiny_transformer"),
        ({"num_hidden_layers": -1, "hidden_size": -8}, "does not describe a tiny_transformer"),
        ({"num_attention_heads": [2]}, "does not describe a tiny_transformer"),
        ({"hidden_act": "snake"}, "hidden_act 'snake' is not supported"),
    ],
)
def test_a_description_that_makes_no_model_is_refused(folder, keys, expected):
    change(folder / "config.json", **keys)
    said = refusal(folder, lambda own: own.record(1))
    assert said.startswith(str(folder)) and expected in said


def test_no_layers_at_hand_for_a_description_that_makes_no_model(folder):
    change(folder / "config.json", hidden_size="wide")
    opened.cache_clear()
    assert layers_at_hand(PretrainedConfig(path=str(folder))) is None


@pytest.mark.parametrize("asked", [lambda own: model_of(own), lambda own: own.check_weights(ORDER)])
@pytest.mark.parametrize("name", ["transformer.encoder.blocks.1.mlp.fc1.weight", "lm_head.bias"])
def test_a_tensor_that_is_missing_is_named(folder, name, asked):
    alter(folder, lambda tensors: tensors.pop(name))
    said = refusal(folder, asked)
    assert name.removeprefix("transformer.") in said and "missing" in said


def test_headers_tell_shapes_without_values(folder):
    own = checkpoint(folder)
    own.check_weights(ORDER)
    own.check_weights(None)
    outlines = own.folder.outlines
    assert all(outlines[name].is_meta and outlines[name].shape == own.folder.tensors[name].shape for name in outlines)
    alter(folder, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(9, 8)}))
    assert "lm_head.weight has 9 rows" in refusal(folder, lambda own: own.check_weights(ORDER))
    refused = "encoder.stem.bias are of shape (3,), expected (8"
    alter(folder, lambda tensors: tensors.update({"transformer.encoder.stem.bias": torch.zeros(3)}))
    assert refused in refusal(folder, lambda own: own.check_weights(None))


@pytest.mark.parametrize("keys", [{"num_hidden_layers": 10**12}, {"num_hidden_layers": 10**30}])
def test_more_than_any_memory_holds_is_no_description(folder, keys):
    change(folder / "config.json", **keys)
    assert "does not describe a tiny_transformer" in refusal(folder, lambda own: own.record(1))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("transformer.encoder.blocks.0.mixer.q.weight", (8, 9)), ("transformer.encoder.stem.bias", ())],
)
def test_a_tensor_of_another_shape_is_named_with_both(folder, name, shape):
    alter(folder, lambda tensors: tensors.update({name: torch.zeros(shape)}))
    said = refusal(folder, model_of)
    assert f"{name.removeprefix('transformer.')} are of shape {shape}, expected (8" in said and "config.json" in said


@pytest.mark.parametrize("rows", [5, 12])
def test_a_head_of_another_size_than_the_vocabulary_is_refused(folder, rows):
    alter(folder, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(rows, 8)}))
    assert f"lm_head.weight has {rows} rows, and config.json says 8 (vocab_size)" in refusal(folder, model_of)


def test_weights_of_a_larger_model_are_refused(folder):
    change(folder / "config.json", num_hidden_layers=1)
    assert "config.json describes no encoder.blocks.1." in refusal(folder, model_of)


def test_without_a_head_its_own_vocabulary_cannot_be_asked_for(tmp_path):
    said = refusal(write_checkpoint(tmp_path / "encoder", head=False), lambda own: own.vocabulary(True))
    assert "has no CTC head (TinyTransformerModel); give teacher.head: ctc" in said


@pytest.mark.parametrize("architectures", ["TinyTransformerForCTC", 3, [3]])
def test_architectures_that_are_no_list_of_names_are_refused(folder, architectures):
    change(folder / "config.json", architectures=architectures)
    assert "config.json: architectures: expected a list of names" in refusal(folder, lambda own: own)


def test_where_no_architecture_is_named_there_is_no_head(folder):
    change(folder / "config.json", architectures=None)
    assert "has no CTC head (no architecture named)" in refusal(folder, lambda own: own.vocabulary(True))


@pytest.mark.parametrize("keys", [{"vocab_size": None}, {"pad_token_id": None}, {"vocab_size": "8"}])
def test_a_head_without_a_size_or_a_blank_is_refused(folder, keys):
    change(folder / "config.json", **keys)
    assert "expected vocab_size and pad_token_id (the blank)" in refusal(folder, lambda own: own.vocabulary(True))


def test_another_sample_rate_is_refused(folder):
    checkpoint(folder).check_sample_rate(RATE)
    said = refusal(folder, lambda own: own.check_sample_rate(16000))
    assert f"data.sample_rate: 16000 Hz, and checkpoint hears {RATE} Hz; set it to {RATE}" in said
