"""Files for other and older runtimes: the same function, traced to the file they come from."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from diminuendo.artifact.banks import stored_codes
from diminuendo.artifact.onnx_file import MODEL, read_metadata, read_onnx, write_onnx
from diminuendo.artifact.outer_products import products_outside
from diminuendo.artifact.weight_graph import INT4, WeightGraph
from diminuendo.cli.main import main
from diminuendo.compression.quantization.integer import quantize_dynamic
from diminuendo.compression.quantization.storage import Storage, packed_uniform
from diminuendo.compression.quantization.weight_writer import store_by_choice, store_uniformly
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.export import convert as converting
from diminuendo.export.convert import convert_file
from diminuendo.export.write import export_model
from diminuendo.runtime.recognizer import Recognizer
from tests.compression.test_every_family import MODELS, TOKENS
from tests.factories.models import tiny_model

SCHEMES = {
    "float32": read_onnx,
    "fp16": lambda path: store_uniformly(read_onnx(path), 16),
    "int8_weight": lambda path: store_uniformly(read_onnx(path), 8),
    "int8_dynamic": lambda path: store_uniformly(quantize_dynamic(path), 8),
    "int4_weight": lambda path: store_uniformly(read_onnx(path), 4, 4),
    "integer_products": lambda path: store_by_choice(
        read_onnx(path), packed_uniform(8, 16, products_outside(WeightGraph(read_onnx(path)))), packed=True
    ),
    "mixed": lambda path: store_by_choice(read_onnx(path), lambda name, *_: Storage(3 if "up" in name else 4)),
}
NOT_IN_22 = {"Attention", "RotaryEmbedding"}
LINEAGE = {"format": 2, "stage": "train_teacher", "name": "small", "parameters": {}, "code": "c", "corpus": "d"}
LINEAGE |= {"parents": {}, "ancestors": {}, "corpora": {}}


def export(path, model=None):
    export_model(path, model or tiny_model(seed=3), name="small", tokens=TOKENS, lineage=LINEAGE)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return export(tmp_path_factory.mktemp("model") / MODEL)


@pytest.mark.parametrize("opset", [22, 18])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_says_the_same(small, tmp_path, scheme, opset):
    source, target = tmp_path / "a.onnx", tmp_path / "b.onnx"
    write_onnx(source, SCHEMES[scheme](small))
    told = convert_file(source, opset, target)
    assert told.difference <= 1e-5
    found, original = onnx.load(target), onnx.load(source)
    assert [(item.domain, item.version) for item in found.opset_import] == [("", opset)]
    assert not NOT_IN_22.intersection(node.op_type for node in found.graph.node)
    onnx.checker.check_model(found, full_check=True)
    four_bits = any(tensor.data_type == INT4 for tensor in found.graph.initializer)
    assert four_bits == (opset > 20 and any(tensor.data_type == INT4 for tensor in original.graph.initializer))
    # The codes are still found by those who count zeros and bits.
    before, after = stored_codes(original), stored_codes(found)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name].astype(np.float32), after[name].astype(np.float32))


@pytest.mark.parametrize("opset", [22, 18])
@pytest.mark.parametrize("family", ["wav2vec2", "whisper-encoder"])
def test_convolutions_in_integers_say_the_same(family, opset, tmp_path):
    source, target = export(tmp_path / "float.onnx", MODELS[family]()), tmp_path / "b.onnx"
    write_onnx(tmp_path / "a.onnx", store_uniformly(quantize_dynamic(source, convolutions=True), 8))
    assert convert_file(tmp_path / "a.onnx", opset, target).difference <= 1e-5
    onnx.checker.check_model(onnx.load(target), full_check=True)


@pytest.mark.parametrize("family", MODELS)
def test_every_family_says_the_same(tmp_path, family):
    source = export(tmp_path / "a.onnx", MODELS[family]())
    assert convert_file(source, 18, tmp_path / "b.onnx").difference <= 1e-4


def test_it_names_its_original_and_has_the_same_bytes_again(small, tmp_path):
    paths = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    for path in paths:
        convert_file(small, 21, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    metadata = read_metadata(read_onnx(paths[0]))
    assert metadata["converted"] == sha256_of(small) and metadata["name"] == "small"
    assert json.loads(metadata["lineage"]) == LINEAGE
    wave = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    heard = [Recognizer(path).transcribe(wave, 8000).text for path in (small, paths[0])]
    assert heard[0] == heard[1]


def test_the_command_and_what_trace_says_of_its_file(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no project
    run, target = CliRunner(), tmp_path / "old.onnx"
    made = run.invoke(main, ["convert", str(small), "--opset", "18", "--out", str(target)])
    assert made.exit_code == 0 and f"{target}: opset 18, {target.stat().st_size:,} bytes, log-prob" in made.output
    traced = run.invoke(main, ["trace", str(target)])
    assert "small" in traced.output
    assert f"{target}: converted from {sha256_of(small)[:16]}, which is not here" in traced.output
    assert run.invoke(main, ["verify", str(target)]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{model}", "--opset", "18", "--out", "{model}"], "give another name to write to"),
        (["{folder}/none.onnx", "--opset", "18", "--out", "{folder}/b.onnx"], "none.onnx"),
        (["{folder}/text.onnx", "--opset", "18", "--out", "{folder}/b.onnx"], "text.onnx"),
        (["{model}", "--opset", "17", "--out", "{folder}/b.onnx"], "'17' is not one of '18'"),
    ],
    ids=["itself", "missing", "no model", "too old"],
)
def test_what_cannot_be_done_is_one_sentence(small, tmp_path, arguments, told):
    (tmp_path / "text.onnx").write_text("no model")
    before = small.read_bytes()
    found = CliRunner().invoke(main, ["convert", *(a.format(model=small, folder=tmp_path) for a in arguments)])
    assert found.exit_code == 2 and told in found.output and "Traceback" not in found.output
    assert small.read_bytes() == before and not (tmp_path / "b.onnx").exists()


def test_a_file_that_says_another_thing_is_not_written(small, tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "_difference", lambda *_: float("nan"))
    with pytest.raises(UserError, match="nothing is written"):
        convert_file(small, 18, tmp_path / "b.onnx")
    assert list(tmp_path.iterdir()) == []
