"""A folder is read without running anything of it, and what is wrong with one is one sentence."""

import json
import os
import pickle
import re

import pytest
from safetensors.torch import load_file

from diminuendo.core.errors import UserError
from diminuendo.pretrained.folder import MOST_JSON_BYTES, CheckpointFolder
from tests.factories.checkpoint import change, write_checkpoint


class Marker:
    """An object whose loading, as a pickle, leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path / "checkpoint")


def refusal(path):
    """The one sentence that opening the folder, and reading all of it, ends with."""
    with pytest.raises(UserError) as error:
        opened = CheckpointFolder(path)
        _ = opened.config, opened.preprocessor
        dict(opened.tensors)
    said = str(error.value)
    assert "\n" not in said and len(said) < 500, said
    return said


def test_everything_that_can_change_the_model_is_among_its_files(folder):
    for name in ("tokenizer.json", "LICENSE", "merges.txt", "optimizer.json", "training_args.bin"):
        (folder / name).write_text("{}")
    assert CheckpointFolder(folder).files == (
        "LICENSE",
        "README.md",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    )


def test_shards_are_read_as_one(tmp_path):
    whole, sharded = write_checkpoint(tmp_path / "whole"), write_checkpoint(tmp_path / "sharded", shards=3)
    assert not (sharded / "model.safetensors").exists()
    found = CheckpointFolder(sharded)
    assert found.weight_files == tuple(f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3))
    assert {"model.safetensors.index.json", *found.weight_files} <= set(found.files)
    expected = load_file(whole / "model.safetensors")
    assert set(found.tensors) == set(expected) and len(found.tensors) == len(expected)
    assert all(found.tensors[name].equal(tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: cc-by-4.0\n---\ntext", "cc-by-4.0"),
        ("# no front matter", None),
        ("---\nlicense: [a, b]\n---\n", None),
        ("---\n: {: [\n---\n", None),
        ("---\n- a list\n---\n", None),
        (b"---\nlicense: \xff\n---\n", None),
        ("---\nlicense: " + "[" * 100_000 + "\n---\n", None),
        ("---\nlicense: 'two\n\n  lines'\n---\n", "two lines"),
    ],
)
def test_the_licence_is_what_the_card_says(folder, card, expected):
    (folder / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    assert CheckpointFolder(folder).licence == expected


def test_a_licence_that_is_a_file_alone_is_named(folder):
    (folder / "README.md").unlink()
    (folder / "LICENSE.txt").write_text("all rights reserved")
    assert CheckpointFolder(folder).licence == "see LICENSE.txt"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["README.md", "preprocessor_config.json", "LICENSE"])
def test_a_pipe_is_no_file_and_is_not_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    found = CheckpointFolder(folder)
    assert name not in found.files
    assert found.licence == (None if name == "README.md" else "apache-2.0")
    assert (found.preprocessor == {}) == (name == "preprocessor_config.json")


def test_a_path_that_no_file_can_have_is_nothing_there(folder):
    for path in (folder / ("x" * 260), f"{folder}\0"):
        assert "nothing there" in refusal(path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing_is_named(folder, name):
    (folder / name).unlink()
    assert refusal(folder).startswith(f"{folder / name}: missing")


def test_nothing_there_and_a_file_are_told_apart(tmp_path, folder):
    assert "nothing there" in refusal(tmp_path / "nowhere")
    assert "a file" in refusal(folder / "config.json")
    (tmp_path / "empty").mkdir()
    assert "config.json: missing" in refusal(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("model.nemo", "convert_nemo_to_hf.py"),
        ("epoch.ckpt", "in the program that wrote it"),
        ("pytorch_model.bin", "save_pretrained"),
        ("model.pt", "save_pretrained"),
        ("weights.pkl", "save_pretrained"),
    ],
)
def test_pickles_are_refused_and_not_loaded(tmp_path, folder, name, remedy):
    """As the path itself, and as the only weights of a folder."""
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Marker(tmp_path / "loaded")))
    for path in (folder, folder / name, tmp_path / f"not-there{(folder / name).suffix}"):
        said = refusal(path)
        assert "pickles are not read" in said and remedy in said
    assert not (tmp_path / "loaded").exists()
    pickle.loads((folder / name).read_bytes())  # such a file does something when it is loaded
    assert (tmp_path / "loaded").exists()


def test_a_pickle_beside_the_weights_is_left_alone(tmp_path, folder):
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marker(tmp_path / "loaded")))
    found = CheckpointFolder(folder)
    assert dict(found.tensors) and "pytorch_model.bin" not in found.files and not (tmp_path / "loaded").exists()


def test_a_pickle_that_is_called_safetensors_is_no_such_file(tmp_path, folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Marker(tmp_path / "loaded")))
    assert "model.safetensors: not a whole safetensors file" in refusal(folder)
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("left", [0, 4, 100, -1])
def test_weights_that_are_cut_off_are_noticed(folder, left):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    assert f"{path}: not a whole safetensors file" in refusal(folder)


def test_a_shard_that_is_missing_is_named(tmp_path):
    folder = write_checkpoint(tmp_path / "checkpoint", shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    said = refusal(folder)
    assert "model-00002-of-00002.safetensors: missing" in said and "model.safetensors.index.json names" in said


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "../elsewhere/model.safetensors"},
        {"a": "/etc/model.safetensors"},
        {"a": "model-1.safetensors", "b": "pytorch_model.bin"},
        {"a": ["model-1.safetensors"]},
        {"a": 1, "b": "model-1.safetensors"},
        ["model-1.safetensors"],
        {},
        None,
    ],
)
def test_an_index_that_names_anything_but_shards_of_the_folder_is_refused(tmp_path, weight_map):
    folder = write_checkpoint(tmp_path / "checkpoint", shards=2)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/model.safetensors").write_bytes(b"")
    change(folder / "model.safetensors.index.json", weight_map=weight_map)
    assert "model.safetensors.index.json: its weight_map names no safetensors files of this folder" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "not JSON"),
        (b"[1, 2]", "expected a mapping of names to values, found [1, 2]"),
        (b'"' + b"x" * 1000 + b'"', "expected a mapping of names to values"),
        (b"null", "expected a mapping"),
    ],
    ids=["cut off", "empty", "not text", "too deep", "a list", "a long string", "null"],
)
def test_json_that_is_none_is_refused(folder, name, content, expected):
    (folder / name).write_bytes(content)
    said = refusal(folder)
    assert said.startswith(f"{folder / name}: {expected}")


def test_json_beyond_any_size_is_not_read(folder):
    with open(folder / "config.json", "ab") as file:
        file.truncate(MOST_JSON_BYTES + 1)
    assert re.search(r"config.json: \d+ bytes, more than any file of its kind", refusal(folder))


def test_a_config_that_names_code_is_refused(tmp_path, folder):
    (folder / "modeling.py").write_text(f"import os; os.mkdir({str(tmp_path / 'ran')!r})")
    change(folder / "config.json", auto_map={"AutoModelForCTC": "modeling.Model"})
    said = refusal(folder)
    assert "auto_map names Python code" in said and "never run" in said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("model_type", [None, 3, ["wav2vec2"]])
def test_a_config_without_a_model_type_is_refused(folder, model_type):
    change(folder / "config.json", model_type=model_type)
    assert "config.json: has no model_type" in refusal(folder)


def test_what_is_said_of_features_may_stand_in_the_processors_file(folder):
    (folder / "preprocessor_config.json").unlink()
    assert CheckpointFolder(folder).preprocessor == {}
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": {"hop_length": 160}}))
    assert CheckpointFolder(folder).preprocessor == {"hop_length": 160}
    (folder / "processor_config.json").write_text(json.dumps({"audio_processor": {"hop_length": 80}}))
    (folder / "preprocessor_config.json").write_text(json.dumps({"hop_length": 200}))  # older, and left behind
    found = CheckpointFolder(folder)
    assert (found.preprocessor, found.preprocessor_file) == ({"hop_length": 80}, "processor_config.json")
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": "hop_length"}))
    assert "processor_config.json: feature_extractor: expected a mapping, found 'hop_length'" in refusal(folder)


def test_numbers_of_a_type_that_pytorch_lacks_are_refused(folder):
    header = json.dumps({"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}).encode()
    header += b" " * (-len(header) % 8)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(3))
    with pytest.raises(UserError, match=r"tensor a is of the type F6_E2M3, which is not read"):
        CheckpointFolder(folder).tensors["a"]
