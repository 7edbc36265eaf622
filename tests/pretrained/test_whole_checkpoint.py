"""A checkpoint of Whisper that is taken with its decoder."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.models.whisper.seq2seq import pretrained
from diminuendo.pretrained.checkpoint import Checkpoint
from tests.factories.checkpoint import change
from tests.factories.whisper_text import (
    NAMES,
    SPECIAL,
    VOCABULARY,
    WORDS,
    foreign_text_whisper,
    text_whisper_of,
    tokenizer_json,
    write_text_checkpoint,
)

MANY = [f"<|{number}|>" for number in range(70)]


@pytest.fixture
def folder(tmp_path):
    return write_text_checkpoint(tmp_path / "whisper")


def whole(folder) -> Checkpoint:
    return Checkpoint(PretrainedConfig(path=str(folder)), own_head=True)


def refusal(folder, asked):
    with pytest.raises(UserError) as error:
        asked(whole(folder))
    said = str(error.value)
    assert "\n" not in said and len(said) < 600 and str(folder) in said, said
    return said


def test_the_head_that_is_asked_for_decides_what_is_taken(folder):
    encoder = Checkpoint(PretrainedConfig(path=str(folder)))
    assert (encoder.kind, encoder.is_whole) == ("whisper-encoder", False)
    assert (whole(folder).kind, whole(folder).is_whole, whole(folder).layers) == ("whisper", True, 2)
    assert whole(folder).about_parameters > encoder.about_parameters


def test_the_model_is_theirs(folder):
    own = whole(folder)
    found = own.vocabulary(lowercase=True)
    model, expected = own.model(len(found.tokens), found.order), text_whisper_of(foreign_text_whisper())
    assert model.record == expected.record and not model.training
    for name, tensor in expected.state_dict().items():
        assert model.state_dict()[name].equal(tensor), name
    own.check_weights(found.order)


def test_tokens_are_spelt_by_bytes_and_special_ones_by_name(folder):
    tokens = whole(folder).vocabulary(lowercase=True).tokens
    assert len(tokens) == VOCABULARY
    assert tokens[WORDS : WORDS + 2] == ["<special:endoftext>", "<special:startoftranscript>"]
    assert tokens[SPECIAL.first_timestamp] == "<special:0.00>" and tokens[-1] == "<special:1.20>"
    assert not any(token.startswith("<special:") for token in tokens[:WORDS])


def test_prompts_are_told_language_and_task_where_there_are_several(folder):
    special = whole(folder).record(1).special
    assert special == SPECIAL
    assert special.prompt("de", "translate", timestamps=True) == (WORDS + 1, WORDS + 3, WORDS + 4)
    english = pretrained.special_tokens({n: WORDS + at for at, n in enumerate(NAMES)}, {"is_multilingual": False})
    assert english.prompt() == (WORDS + 1, WORDS + 8)


def test_what_it_may_write_is_part_of_its_lineage(folder):
    assert {"generation_config.json", "tokenizer.json"} <= set(whole(folder).facts()["files"])


def test_heads_that_look_at_words_are_the_checkpoints_or_the_later_half(tmp_path):
    named = write_text_checkpoint(tmp_path / "named", alignment_heads=[[0, 3], [1, 1]])
    assert whole(named).record(1).alignment_heads == ((0, 3), (1, 1))
    plain = write_text_checkpoint(tmp_path / "plain")
    assert whole(plain).record(1).alignment_heads == ((1, 0), (1, 1), (1, 2), (1, 3))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("tokenizer.json", None, "tokenizer.json: missing, so what the model's outputs mean is not known"),
        ("tokenizer.json", "{}", "tokenizer.json: not a tokenizer"),
        ("tokenizer.json", tokenizer_json(NAMES[:1]), "its tokenizer has no token <|startoftranscript|>"),
        (
            "tokenizer.json",
            tokenizer_json([*NAMES, *map("<|{}|>".format, range(70))]),
            "do not fit the 110 outputs of config.json",
        ),
        ("generation_config.json", '{"suppress_tokens": "all"}', "suppress_tokens: found 'all', expected a list of"),
        ("generation_config.json", '{"suppress_tokens": [-1]}', r"suppress_tokens: found \[-1\], expected a list of"),
        ("generation_config.json", '{"suppress_tokens": [999]}', "the token 999 is none of 110"),
        (
            "generation_config.json",
            '{"alignment_heads": [[9, 0]]}',
            "expected pairs of a layer below 2 and a head below 4",
        ),
    ],
)
def test_bad_files_are_refused_in_a_sentence(folder, file, content, said):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    found = refusal(folder, lambda own: own.vocabulary(lowercase=True))
    assert re.search(said, found), found


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"decoder_layers": 3}, "no tensor model.decoder.layers.2.self_attn_layer_norm.weight"),
        ({"decoder_attention_heads": 5}, "decoder_attention_heads: found 5, expected a divisor of d_model"),
        ({"max_target_positions": 30}, r"embed_positions.weight has the shape \[24, 32\]"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings: found False, expected one table"),
        ({"decoder_ffn_dim": None}, "decoder_ffn_dim: found nothing, expected a positive whole number"),
    ],
)
def test_weights_that_do_not_fit_the_description_are_refused(folder, keys, said):
    change(folder / "config.json", **keys)
    found = refusal(folder, lambda own: own.model(VOCABULARY, None))
    assert re.search(said, found), found


def test_another_output_table_is_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"] + 1
    save_file(tensors, folder / "model.safetensors")
    assert "proj_out.weight is not its embedding" in refusal(folder, lambda own: own.model(VOCABULARY, None))
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    assert torch.is_tensor(whole(folder).model(VOCABULARY, None).decoder.embedding.weight)


def test_code_in_a_folder_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.py"}}))
    assert "auto_map names Python code" in refusal(folder, lambda own: own.record(1))
