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
from tests.factories.whisper_vocabulary import write_vocabulary_checkpoint

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
    assert special_of({"is_multilingual": False}).prompt() == (WORDS + 1, WORDS + 8)


def special_of(generation, vocabulary=pretrained.MULTILINGUAL):
    return pretrained.special_tokens({n: WORDS + at for at, n in enumerate(NAMES)}, generation, vocabulary)


@pytest.mark.parametrize("generation", [{}, {"is_multilingual": None, "lang_to_id": None}])
def test_where_nothing_says_how_many_languages_it_knows_the_number_of_tokens_does(generation):
    assert set(special_of(generation).languages) == {"en", "de"}
    assert special_of(generation, pretrained.MULTILINGUAL - 1).languages == {}
    assert special_of({**generation, "lang_to_id": {"<|en|>": 1}}, VOCABULARY).languages


def test_what_is_never_written_may_stand_in_config_json(folder):
    """As checkpoints had it before there was ``generation_config.json``."""
    change(folder / "config.json", suppress_tokens=[5], begin_suppress_tokens=[6, 7])
    assert whole(folder).record(1).special.suppressed == SPECIAL.suppressed
    (folder / "generation_config.json").unlink()
    special = whole(folder).record(1).special
    assert (special.suppressed, special.suppressed_first) == ((5,), (6, 7))
    change(folder / "config.json", suppress_tokens=[999])
    said = refusal(folder, lambda own: own.record(1))
    assert "config.json: does not describe a whisper: special: the token 999 is none of 110" in said
    assert "pydantic" not in said


def split_tokenizer(folder):
    """``tokenizer.json`` replaced by the three files of older programs."""
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    model, added = content["model"], {token["content"]: token["id"] for token in content["added_tokens"]}
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    first = min(added, key=added.get)  # the first special token is one of the vocabulary
    (folder / "vocab.json").write_text(json.dumps({**model["vocab"], first: added.pop(first)}))
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")


def test_a_tokenizer_may_be_the_three_files_of_older_programs(tmp_path):
    folder, parted = write_vocabulary_checkpoint(tmp_path / "one"), write_vocabulary_checkpoint(tmp_path / "three")
    split_tokenizer(parted)
    one, three = whole(folder).vocabulary(lowercase=True), whole(parted).vocabulary(lowercase=True)
    assert one.tokens == three.tokens and whole(folder).record(1) == whole(parted).record(1)
    for text in ("a bad cab", "the bed été", "дa dad … 19"):
        assert one.tokenizer.encode(text) == three.tokenizer.encode(text)
    assert {"vocab.json", "merges.txt", "added_tokens.json"} <= set(whole(parted).facts()["files"])


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("merges.txt", None, "tokenizer.json: missing, .* merges.txt are not there in its place"),
        ("merges.txt", "a b c\n", r"merges.txt: does not fit vocab.json \("),
        ("merges.txt", "qq zz\n", r"merges.txt: does not fit vocab.json \("),
        ("added_tokens.json", '{"<|startoftranscript|>": 9000}', "has the number 9000, and [0-9]+ comes next"),
        ("added_tokens.json", '{"<|startoftranscript|>": "1"}', "expected each token with its number, found"),
        ("vocab.json", '{"a": -1}', "vocab.json: expected each token with its number, found 'a': -1"),
    ],
)
def test_files_of_older_programs_that_do_not_fit_are_refused(tmp_path, file, content, said):
    folder = write_vocabulary_checkpoint(tmp_path / "whisper")
    split_tokenizer(folder)
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    found = refusal(folder, lambda own: own.vocabulary(lowercase=True))
    assert re.search(said, found), found


def test_what_it_may_write_is_part_of_its_lineage(folder):
    assert {"generation_config.json", "tokenizer.json"} <= set(whole(folder).facts()["files"])


def test_heads_that_look_at_words_are_the_checkpoints_or_the_later_half(tmp_path):
    named = write_text_checkpoint(tmp_path / "named", alignment_heads=[[0, 3], [1, 1]])
    assert whole(named).record(1).alignment_heads == ((0, 3), (1, 1))
    cut = write_text_checkpoint(tmp_path / "cut", alignment_heads=[[1, 1], [7, 0], [1, 12]])  # from a larger one
    assert whole(cut).record(1).alignment_heads == ((1, 1),)
    gone = write_text_checkpoint(tmp_path / "gone", alignment_heads=[[7, 0]])
    plain = write_text_checkpoint(tmp_path / "plain")
    assert whole(gone).record(1).alignment_heads == whole(plain).record(1).alignment_heads
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
            '{"alignment_heads": [[1, -1]]}',
            "expected pairs of a layer and a head",
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
