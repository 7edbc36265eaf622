import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from diminuendo.artifact.onnx_file import MODEL
from diminuendo.artifact.stored_names import STORED_NAME
from diminuendo.artifact.weight_graph import inner_graphs, shorten_names
from diminuendo.cli import main
from diminuendo.compression.quantization.coverage import count_macs
from diminuendo.compression.quantization.weight_writer import store_uniformly
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.export.write import export_model
from diminuendo.models.conformer.onnx_writer import build_onnx
from diminuendo.profiling import limits, profile
from diminuendo.profiling.events import multiply_accumulates, nodes, typical
from diminuendo.profiling.measure import TOKENS, noise
from diminuendo.profiling.modules import ENCODER, FRAMES, FRONTEND, LAYOUT, LOOP, mark_modules, module_of_node
from diminuendo.profiling.one_operator import one_operator
from tests.factories.models import SAMPLE_RATE, tiny_layer, tiny_model
from tests.factories.whisper_text import tiny_text_whisper

SECONDS = 10.0  # as long as what coverage counts


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / MODEL
    # As many channels as a block of ONNX Runtime's holds, so that none are padded.
    model = tiny_model(layers=(tiny_layer(convolution=16),), subsampling_channels=16)
    export_model(path, model, name="tiny", tokens=["<blank>", *"▁abcd"], lineage={})
    return path


@pytest.fixture(scope="module")
def measured(path):
    return profile(path, SECONDS, threads=1, runs=3)


def test_shares_and_calls_add_up(measured):
    for groups in (measured.operators, measured.modules):
        assert sum(group.share for group in groups) == pytest.approx(1)
        assert sum(group.seconds for group in groups) == pytest.approx(measured.seconds)
        assert sum(group.calls for group in groups) == measured.calls
        assert sum(group.multiply_accumulates for group in groups) == measured.multiply_accumulates
        assert [group.seconds for group in groups] == sorted((group.seconds for group in groups), reverse=True)


def test_the_arithmetic_is_that_of_the_file(measured, path):
    expected = sum(work.count for work in count_macs(onnx.load(path), SAMPLE_RATE))
    assert measured.multiply_accumulates == expected
    found = {group.name: group.multiply_accumulates for group in measured.modules}
    frames = (round(SECONDS * SAMPLE_RATE) - 128) // 64 + 1
    assert found["out"] == -(-frames // 2) * 8 * 6
    assert {FRONTEND, FRAMES, "subsampling", "layers.0.attention", "layers.0.convolution"} <= set(found)


def test_limits_are_in_reach(measured, path):
    assert 0 < measured.arithmetic_share < 1
    assert measured.peak_multiply_accumulates_per_second > 1e8 and measured.peak_bytes_per_second > 1e8
    trained = [t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert measured.bytes_moved > sum(4 * np.prod(tensor.dims) for tensor in trained)


def test_a_limit_is_its_fastest_run():
    limit = limits.Limit("Neg", [(4,)], work=8.0, threads=1)
    limit.run()
    first = limit.best
    for _ in range(20):
        limit.run()
    assert 0 < limit.best <= first
    assert limit.per_second == 8.0 / limit.best
    assert (limit._result == -0.5).all()


def test_of_quantized_files_the_frontend_is_told_from_the_encoder(path):
    """Their nodes and weights have no names, and are made by nodes of their own."""
    plain = build_onnx(tiny_model(), {})
    stored = type(plain).FromString(plain.SerializeToString())
    store_uniformly(stored, 4, 4)
    shorten_names(stored, STORED_NAME)

    def products(model):
        marked = onnx.ModelProto.FromString(mark_modules(model.SerializeToString()))
        return [module_of_node(n.name) for n in marked.graph.node if n.op_type in ("MatMul", "Conv", "Attention")]

    named = products(plain)
    assert named[:4] == [FRONTEND] * 4 and named[-1] == "out"
    assert named.count("layers.1.attention") == 5 and named.count("layers.0.convolution") == 4
    assert products(stored) == [FRONTEND if module == FRONTEND else ENCODER for module in named]


def test_marking_changes_the_names_of_nodes_and_nothing_else(path):
    """The bytes are edited without the package onnx, which here says what is in them."""
    before = onnx.load(path)
    after = onnx.ModelProto.FromString(mark_modules(path.read_bytes()))
    assert all(node.name == f"@{module_of_node(node.name)}@{index}" for index, node in enumerate(after.graph.node))
    for model in (before, after):
        for node in model.graph.node:
            node.name = ""
    assert after == before


def test_a_model_of_one_operator_is_what_onnx_would_write():
    shapes = [(3, 300), (300, 200)]
    values = [onnx.helper.make_tensor_value_info(f"x{i}", onnx.TensorProto.FLOAT, s) for i, s in enumerate(shapes)]
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shapes[0])
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x0", "x1"], ["y"])], "MatMul", values, [output])
    opsets = [onnx.helper.make_opsetid("", 21)]
    assert onnx.ModelProto.FromString(one_operator("MatMul", shapes)) == onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=10
    )


def test_module_of_what_the_runtime_makes():
    assert module_of_node("fused @layers.0.convolution@12/MatMulAddFusion#3") == "layers.0.convolution"
    assert module_of_node("ReorderInput_token_3#99") == LAYOUT


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "expected"),
    [
        ("Gemm", [(7, 3), (3, 5), (5,)], (7, 5), 105),
        ("FusedMatMul", [(2, 3, 7), (2, 3, 5)], (2, 7, 5), 210),
        ("MatMul", [(4, 5, 6), (1, 4, 6, 9)], (1, 4, 5, 9), 4 * 5 * 6 * 9),
        ("Conv", [(1, 8, 10), (6, 4, 3)], (1, 6, 8), 6 * 8 * 12),
        ("Attention", [(1, 7, 8), (1, 9, 8), (1, 9, 8)], (1, 7, 8), 2 * 7 * 9 * 8),
        ("Add", [(7, 3), (7, 3)], (7, 3), 0),
    ],
)
def test_multiply_accumulates(operator, inputs, output, expected):
    assert multiply_accumulates(operator, inputs, output) == expected


def test_what_is_typical_ignores_a_run_that_was_interrupted():
    assert typical([2, 900, 3, 2, 3, 0, 2, 3]) == 2.5
    assert typical([7]) == 7


def test_the_command_prints_a_table(path):
    result = CliRunner().invoke(main, ["profile", str(path), "--seconds", "0.5", "--runs", "2"])
    assert result.exit_code == 0, result.output
    for words in ("layers.0.attention", "Gemm", "of audio on one thread", "GFLOP/s", "GB/s", "times as long"):
        assert words in result.output
    assert max(map(len, result.output.splitlines())) < 160


def test_the_command_prints_json(path):
    result = CliRunner().invoke(main, ["profile", str(path), "--seconds", "0.5", "--runs", "2", "--json"])
    found = json.loads(result.output)
    assert found["threads"] == 1 and found["runs"] == 2 and found["audio_seconds"] == 0.5
    assert found["calls"] == sum(operator["calls"] for operator in found["operators"])
    assert found["arithmetic_share"] == pytest.approx(
        found["multiply_accumulates_per_second"] / found["peak_multiply_accumulates_per_second"]
    )


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e9"])
def test_a_length_that_makes_no_sense_is_refused(path, seconds):
    result = CliRunner().invoke(main, ["profile", str(path), "--seconds", seconds])
    assert result.exit_code == 2 and "--seconds" in result.output and "expected" in result.output


def test_a_file_of_others_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match="cannot load it as a model"):
        profile(tmp_path / "x.onnx")


def test_the_waveform_is_the_same_every_time():
    waveform = noise(0.5, 8000)
    assert waveform.shape == (4000,) and waveform.std() == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(waveform, noise(0.5, 8000))


def test_too_many_threads_are_refused(path):
    most = 4 * available_cores()
    result = CliRunner().invoke(main, ["profile", str(path), "--threads", str(most + 1), "--runs", "1"])
    assert result.exit_code == 2 and result.output.startswith(f"error: threads: {most + 1}, expected at most {most}")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The profile of a whole Whisper, whose decoder is in a loop, and its file."""
    path = tmp_path_factory.mktemp("text") / MODEL
    model = tiny_text_whisper()
    tokens = [f"t{number}" for number in range(model.record.vocabulary)]
    export_model(path, model, name="teacher", tokens=tokens, lineage={})
    return profile(path, 2.0, threads=1, runs=3), path


def test_what_a_loop_calls_again_counts_each_time(written):
    measured, path = written
    model = onnx.load(path)
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    products = sum(node.op_type in ("MatMul", "Gemm") for node in next(inner_graphs(loop)).node)
    calls = {group.name: group.calls for group in measured.operators}
    assert measured.tokens == TOKENS and calls["Loop"] == 1
    assert calls["Softmax"] == 2 * 2 * TOKENS + 1  # two attentions in each of two layers, and that of the encoder
    assert products * TOKENS <= sum(calls.get(name, 0) for name in ("MatMul", "Gemm", "FusedMatMul"))


def test_what_is_in_a_loop_belongs_to_the_modules_of_the_decoder(written):
    modules = {group.name: group for group in written[0].modules}
    assert {"decoder.layers.0.attention", "decoder.layers.1.feed_forward", LOOP} <= set(modules)
    assert sum(group.share for group in modules.values()) == pytest.approx(1)


def test_a_loop_is_not_counted_beside_what_is_in_it():
    def events(*seconds: int) -> list[dict]:
        args = {"op_name": "MatMul", "parameter_size": "8", "activation_size": "0", "output_size": "0"}
        args |= {"input_type_shape": [{"float": [1, 4]}, {"float": [4, 2]}], "output_type_shape": [{"float": [1, 2]}]}
        return [{"dur": each, "args": args} for each in seconds]

    timed = {
        "@decoder@7#1": events(900, 100, 100),
        "@norm@7.2#4": events(90, 90, 30, 30, 20, 40),
        "x#2": events(9, 5, 5),
    }
    shaped = {"@decoder@7#1": events(100), "@norm@7.2#4": events(20, 20), "x#2": events(5)}
    loop, body, other = nodes(timed, shaped, runs=3, skip=1)
    assert [round(1e6 * node.seconds) for node in (loop, body, other)] == [40, 60, 5]
    assert [node.calls for node in (loop, body, other)] == [1, 2, 1]
    assert (body.multiply_accumulates, body.bytes_moved, other.multiply_accumulates) == (16, 16, 8)
