import json
from collections import Counter

import onnx
import onnxruntime
import pytest
import torch

from diminuendo.artifact.onnx_file import MODEL, read_metadata, replace_metadata, write_onnx
from diminuendo.core.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.trained import deliver
from diminuendo.export.write import export_model
from diminuendo.models.conformer.onnx_writer import build_onnx
from diminuendo.models.model import parameter_count
from tests.factories.graphs import CONFORMER_LAYERS, assert_graph_is_model, assert_weights_are_stored_once
from tests.factories.models import speech_batch, tiny_model

TOKENS = ["<blank>", "▁", "a", "b", "c", "d"]
ARCHITECTURES = {
    "uniform": {},
    "one layer": {"layers": 1},
    "subsampling 4": {"subsampling": 4},
    "subsampling 6": {"subsampling": 6},
    "subsampling 8": {"subsampling": 8},
    "time convolution": {"subsampling": 4, "subsampling_channels": 0},
    "time convolution of three": {"subsampling": 3, "subsampling_channels": 0},
    **CONFORMER_LAYERS,
}


def pair(architecture):
    model = tiny_model(**{"layers": 2, **ARCHITECTURES[architecture]})
    return model, build_onnx(model, {}).SerializeToString()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_graph_is_the_model(architecture):
    model, graph = pair(architecture)
    assert_graph_is_model(model, graph, *speech_batch(seconds=(1.0, 0.61, 0.05)))


@pytest.mark.parametrize("samples", [1, 127, 128, 129, 4000])
def test_any_length_is_recognised(samples):
    model, graph = pair("uniform")
    assert_graph_is_model(model, graph, *speech_batch(seconds=(samples / 4000,)))


def test_batch_normalisation_is_folded():
    model, graph = pair("uniform")
    operators = {node.op_type for node in onnx.load_from_string(graph).graph.node}
    assert "BatchNormalization" not in operators
    norm = model.layers[0].convolution.batch_norm
    assert (norm.running_mean.abs() > 0.01).any() and (norm.running_var - 1).abs().max() > 0.1


def test_a_model_in_training_mode_exports_as_in_evaluation():
    model, graph = pair("uniform")
    assert build_onnx(model.train(), {}).SerializeToString() == graph


def executed(tmp_path, graph):
    """The nodes that ONNX Runtime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "executed.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return onnx.load(tmp_path / "executed.onnx").graph.node


def test_onnx_runtime_joins_products_and_biases(tmp_path):
    """What makes the graph fast is how the runtime fuses it: an innocent change can undo that without an error."""
    _, graph = pair("uniform")
    nodes = [n for n in executed(tmp_path, graph) if not n.name.startswith("frontend")]
    operators = Counter(node.op_type for node in nodes)
    # Per layer: two of each feed-forward, four of attention, value and out of the convolution; its gate has a sigmoid.
    assert operators["Gemm"] == 2 * (2 + 4 + 2 + 2) + 2 and operators["FusedGemm"] == 2
    assert operators["MatMul"] == 0 and operators["Attention"] == 2 and operators["Sigmoid"] == 0
    assert operators["Transpose"] == 1  # of the subsampling: depthwise convolutions need none


def test_onnx_runtime_takes_the_transposes_into_the_products_of_the_frontend(tmp_path):
    _, graph = pair("time convolution")
    nodes = executed(tmp_path, graph)
    frontend = Counter(node.op_type for node in nodes if "frontend" in node.name)
    assert frontend["FusedMatMul"] == 3 and frontend["MatMul"] == 2  # both of means over frames
    assert frontend["Transpose"] == 1  # of the waveform
    assert not [node for node in nodes if node.op_type == "Transpose" and "frontend" not in node.name]


def test_every_weight_is_stored_once_under_its_own_name():
    assert_weights_are_stored_once(*pair("factorised"))


def export(folder, model, **keys):
    settings = {"name": "tiny", "tokens": TOKENS, "lineage": {"stage": "distill", "b": 1, "a": "é"}, **keys}
    export_model(folder / MODEL, model, **settings)
    return folder / MODEL


def test_the_file_says_how_to_use_it_and_where_it_came_from(tmp_path):
    model = tiny_model()
    metadata = read_metadata(onnx.load(export(tmp_path, model)))
    assert json.loads(metadata["tokens"]) == TOKENS
    assert metadata["format"] == "1" and metadata["name"] == "tiny"
    assert metadata["sample_rate"] == "4000" and float(metadata["frame_seconds"]) == 0.032
    assert int(metadata["parameters"]) == parameter_count(model)
    assert metadata["lineage"] == '{"a":"é","b":1,"stage":"distill"}'


def test_the_bytes_depend_on_the_arguments_alone(tmp_path):
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(export(tmp_path / name, tiny_model()))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert export(tmp_path, tiny_model(), name="other").read_bytes() != paths[0].read_bytes()


def test_metadata_can_be_replaced(tmp_path):
    path = export(tmp_path, tiny_model())
    model = onnx.load(path)
    replace_metadata(model, name="quantized", lineage="{}")
    write_onnx(path, model)
    metadata = read_metadata(onnx.load(path))
    assert metadata["name"] == "quantized" and metadata["lineage"] == "{}" and json.loads(metadata["tokens"]) == TOKENS


def delivered(folder, model):
    deliver(folder, model, name="tiny", tokens=TOKENS, lineage={}, history=[{"step": 1, "loss": 0.5}], summary={"k": 1})


def test_a_delivered_folder_is_whole_and_checked(tmp_path):
    delivered(tmp_path, tiny_model())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "model.safetensors", "model.onnx", "history.csv", "summary.json"}
    assert check_parity(tmp_path) < 1e-4


def test_a_file_of_other_weights_is_refused(tmp_path):
    delivered(tmp_path, tiny_model())
    export(tmp_path, tiny_model(seed=1))
    with pytest.raises(UserError, match=r"model\.onnx and the stored weights differ by"):
        check_parity(tmp_path)


def test_a_file_that_is_not_a_number_is_refused(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.out.bias[0] = torch.nan
    with pytest.raises(UserError, match=r"differ by nan"):
        delivered(tmp_path, model)


def test_a_file_of_another_shape_is_refused(tmp_path):
    delivered(tmp_path, tiny_model())
    export(tmp_path, tiny_model(subsampling=4))
    with pytest.raises(UserError, match=r"gives shape"):
        check_parity(tmp_path)
