"""A file whose weights lie beside it: opened, refused where it is not whole, and never written by halves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from diminuendo.artifact import external_data, lineage, onnx_file
from diminuendo.artifact.external_data import Data, bytes_of_files, check_data, data_of, files_of, is_whole
from diminuendo.artifact.onnx_file import MODEL, read_onnx, write_onnx
from diminuendo.artifact.outside import bytes_in_files, message_with_names
from diminuendo.artifact.tensors import LIMIT, place_of
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.evaluation.inspection import inspect_model
from diminuendo.export.check import check_parity
from diminuendo.export.trained import deliver
from diminuendo.export.write import export_model
from diminuendo.gate.inputs import open_model
from diminuendo.profiling.measure import profile
from diminuendo.runtime.model import AcousticModel
from tests.factories.models import onnx_outputs, speech_batch
from tests.factories.onnx_models import write_model
from tests.factories.two_files import flip, model_of_some_kilobytes, rewrite

KEYS = {"name": "large", "tokens": ["<blank>", *"▁abcd"], "lineage": {"format": 2, "name": "large"}}


def export(folder: Path, seed: int = 0) -> Path:
    path = folder / MODEL
    export_model(path, model_of_some_kilobytes(seed), **KEYS)
    return path


@pytest.fixture
def pair(small_limit, tmp_path) -> tuple[Path, Path]:
    """A shipped file and the one with its weights."""
    model, data = files_of(export(tmp_path))
    return model, data


def test_the_limit_is_what_protocol_buffers_can_hold():
    assert 2**31 - 2**26 < LIMIT < 2**31


def test_plain_onnx_runtime_and_onnx_read_the_pair_as_one_file(pair, tmp_path, monkeypatch):
    path, data = pair
    monkeypatch.undo()
    export_model(whole := tmp_path / "whole" / MODEL, model_of_some_kilobytes(), **KEYS)
    batch = speech_batch(seconds=(1.2, 0.7))
    for found, expected in zip(onnx_outputs(path, *batch), onnx_outputs(whole, *batch)):
        assert np.array_equal(found, expected)
    one, other = onnx.load(path), onnx.load(whole)
    assert {tensor.name: tensor.raw_data for tensor in one.graph.initializer} == {
        tensor.name: tensor.raw_data for tensor in other.graph.initializer
    }
    assert path.stat().st_size < whole.stat().st_size / 2 < data.stat().st_size
    assert [path.name for path in whole.parent.iterdir()] == [MODEL]


def test_the_file_says_name_size_and_digest_and_its_checksum_covers_them(pair):
    path, data = pair
    assert data_of(path) == Data(data.name, data.stat().st_size, sha256_of(data))
    assert re.fullmatch(r"model-[0-9a-f]{16}\.data", data.name) and sha256_of(data).startswith(data.name[6:22])
    graph = onnx.load(path, load_external_data=False).graph
    offsets = [
        int(next(entry.value for entry in tensor.external_data if entry.key == "offset"))
        for tensor in graph.initializer
        if tensor.external_data
    ]
    assert len(offsets) > 40 and not any(offset % 4096 for offset in offsets)
    content = path.read_bytes()
    place = content.index(data.name.encode())
    path.write_bytes(content[:place] + b"l" + content[place + 1 :])
    with pytest.raises(UserError, match=r"model.onnx: damaged: its content does not match the checksum"):
        AcousticModel(path)


def test_the_same_model_gives_the_same_pair(pair, tmp_path):
    again = files_of(export(tmp_path / "again"))
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in pair]
    write_onnx(tmp_path / "read" / MODEL, read_onnx(pair[0]))
    assert [file.read_bytes() for file in files_of(tmp_path / "read" / MODEL)] == [file.read_bytes() for file in pair]


def test_the_model_that_was_written_goes_on_with_its_weights_in_the_file(small_limit, tmp_path):
    model = onnx.load(write_model(tmp_path / "small.onnx", width=50))
    expected = WeightGraph(model).array("matrix").copy()
    write_onnx(tmp_path / MODEL, model)
    assert np.array_equal(WeightGraph(model).array("matrix"), expected)
    assert bytes_in_files(model) == bytes_of_files(tmp_path / MODEL) == inspect_model(tmp_path / MODEL).bytes
    assert message_with_names(model) != model.SerializeToString()  # which has absolute paths


def harm_by_a_flip(data):
    flip(data, data.stat().st_size // 2)


def harm_by_a_cut(data):
    data.write_bytes(data.read_bytes()[:-1])


HARM = {
    "damaged: its SHA-256 is": harm_by_a_flip,
    "bytes, expected": harm_by_a_cut,
    "missing, though model.onnx has its weights there": Path.unlink,
}


@pytest.mark.parametrize("problem", HARM)
def test_weights_that_are_not_whole_are_refused_before_they_are_used(problem, pair, tmp_path):
    path, data = pair
    assert is_whole(path, sha256_of(path))
    HARM[problem](data)
    for use in (AcousticModel, open_model, check_data, profile):
        with pytest.raises(UserError, match=f"^{re.escape(str(data))}: .*{problem}.*whole copy"):
            use(path)
    assert not is_whole(path, sha256_of(path))


@pytest.mark.parametrize("problem", HARM)
def test_verify_finds_weights_that_are_not_whole(problem, pair, tmp_path, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
    path, data = pair
    found = CliRunner().invoke(main, ["verify", str(path)]).stdout
    assert re.search(rf"whole +weights of file model.onnx +{re.escape(str(data))}", found)
    HARM[problem](data)
    result = CliRunner().invoke(main, ["verify", str(path)])
    status = "missing" if "missing" in problem else "damaged"
    assert result.exit_code == 1 and re.search(rf"{status} +weights of file model.onnx.*{problem}", result.stdout)


def test_a_record_names_both_files_and_finds_damage_in_either(small_limit, tmp_path):
    deliver(tmp_path, model_of_some_kilobytes(), **KEYS, history=[], summary={})
    lineage.write_record(tmp_path, {"format": lineage.FORMAT})
    path, data = files_of(tmp_path / MODEL)
    assert {MODEL, data.name} <= set(lineage.verified_record(tmp_path)["files"])
    flip(data, 0)
    with pytest.raises(UserError, match=rf"{data.name}: damaged: its SHA-256 is .*, its lineage says"):
        lineage.verified_record(tmp_path)
    weight = next(tensor for tensor in read_onnx(path).graph.initializer if tensor.name == "out.weight")
    flip(data, place_of(weight)[1] + 3)  # an exponent
    with pytest.raises(UserError, match="differ by"):
        check_parity(tmp_path)


@pytest.mark.parametrize(
    "location", ["../model.data", "/etc/passwd", "sub/model.data", "..", "", r"..\model.data", "C:model.data"]
)
def test_weights_anywhere_but_in_the_same_folder_are_refused_before_they_are_opened(
    location, pair, tmp_path, monkeypatch
):
    path, _ = pair
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    for entry in model.metadata_props:
        if entry.key == external_data.KEY:
            entry.value = Data(location, 3, "0" * 64).as_text()
    path.write_bytes(model.SerializeToString())
    (tmp_path / "sub").mkdir()
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    monkeypatch.setattr(external_data, "sha256_of", None)
    write_onnx_with_checksum(path, model)
    for use in (AcousticModel, open_model, read_onnx, inspect_model, profile):
        with pytest.raises(
            UserError, match=r"model.onnx: says that weights are in .*, expected the plain name of a file"
        ):
            use(path)


def write_onnx_with_checksum(path: Path, model: onnx.ModelProto) -> None:
    """As somebody would who knows the format: the checksum fits what the file says."""
    from diminuendo.artifact import checksum

    onnx_file.replace_metadata(model, checksum=checksum.UNSEALED)
    content = model.SerializeToString(deterministic=True)
    place, seal = checksum.seal_of(content)
    path.write_bytes(content[:place] + seal + content[place + 64 :])


def test_a_second_file_that_the_metadata_does_not_name_is_refused(pair):
    path, data = pair
    model = onnx.load(path, load_external_data=False)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    next(entry for entry in tensor.external_data if entry.key == "location").value = "other.data"
    write_onnx_with_checksum(path, model)
    with pytest.raises(UserError, match=rf"its weights are in {data.name}, other.data, but its metadata key"):
        AcousticModel(path)


def test_a_file_that_hides_its_weights_from_the_check_is_refused(pair):
    """A field of a type that protocol buffers pass over, and ONNX Runtime too."""
    path, _ = pair
    path.write_bytes(path.read_bytes() + b"\xfb\x7f\xfc\x7f")  # an empty group
    write_onnx_with_checksum(path, onnx.load(path, load_external_data=False))
    with pytest.raises(UserError, match=r"model.onnx: cannot be read as an ONNX file \(no field has the type 3"):
        AcousticModel(path)


def test_weights_whose_digest_nobody_states_are_refused(tmp_path):
    model = onnx.load(write_model(tmp_path / "small.onnx", width=50))
    onnx.save(model, tmp_path / MODEL, save_as_external_data=True, location="weights.bin", size_threshold=100)
    with pytest.raises(
        UserError, match=r"its weights are in weights\.bin, but its metadata key diminuendo\.data is None"
    ):
        AcousticModel(tmp_path / MODEL)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("stop", ["while the weights are written", "between the two", "before what is left over goes"])
def test_a_kill_leaves_a_whole_pair_and_the_next_run_one(stop, pair, tmp_path, monkeypatch):
    path, data = pair
    old = [file.read_bytes() for file in pair]

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        if stop == "while the weights are written":
            patch.setattr("diminuendo.artifact.outside.point", die)
            patch.setattr(Path, "unlink", lambda *_, **__: None)  # no `finally` runs in a process that is killed
            patch.setattr("diminuendo.artifact.outside.move_in_place", die)
        elif stop == "between the two":
            patch.setattr(onnx_file, "message_with_names", die)
        else:
            patch.setattr(onnx_file, "stale_data", die)
        export(tmp_path, seed=1)
    check_data(path)
    AcousticModel(path)
    if stop != "before what is left over goes":
        assert [file.read_bytes() for file in files_of(path)] == old
    assert len(list(tmp_path.iterdir())) == 3
    export(tmp_path, seed=1)
    assert sorted(tmp_path.iterdir()) == sorted(files_of(path)) and data not in files_of(path)
    check_data(path)


def test_a_smaller_model_takes_the_place_of_both_files(pair, tmp_path, monkeypatch):
    path, _ = pair
    (other := tmp_path / "other-0123456789abcdef.data").write_bytes(b"of somebody else")
    monkeypatch.undo()
    export(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, other])
    assert data_of(path) is None and bytes_of_files(path) == path.stat().st_size
    assert external_data.KEY not in {entry.key for entry in onnx.load(path).metadata_props}


def test_two_pairs_lie_in_one_folder(small_limit, tmp_path):
    paths = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for seed, path in enumerate(paths):
        export_model(path, model_of_some_kilobytes(seed), **KEYS)
    assert len(list(tmp_path.iterdir())) == 4
    for path in paths:
        AcousticModel(path)


def test_sizes_are_those_of_both_files(pair):
    path, data = pair
    both = path.stat().st_size + data.stat().st_size
    assert inspect_model(path).bytes == open_model(path).bytes == bytes_of_files(path) == both
    assert bytes_in_files(read_onnx(path)) == both


def test_a_pair_is_profiled_as_one_file(pair):
    found = profile(pair[0], seconds=0.5, runs=2)
    assert found.multiply_accumulates > 0 and any(module.name.startswith("layers.1") for module in found.modules)


def test_rewriting_a_file_of_ours_makes_it_a_pair(small_limit, tmp_path):
    path = write_model(tmp_path / MODEL, width=50)
    assert rewrite(path) == files_of(path)[1]
