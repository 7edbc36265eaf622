"""Every scheme on a tiny file: it runs, it is as small and as near as claimed, and twice the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from diminuendo.artifact.onnx_file import read_metadata, write_onnx
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.config import NOMINAL_BITS, QuantizeConfig
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.quantized_file import write_quantized
from diminuendo.compression.quantization.storage import FP16, Storage, sees_one_channel, storage_for, uniform
from diminuendo.compression.quantization.weight_writer import plan, store_all, stored_values
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.export.write import export_model
from tests.factories.models import ToneCorpus, onnx_outputs, speech_batch, tiny_layer, tiny_model

SCHEMES = ("fp16", "int8_weight", "int4_weight", "int8_dynamic", "int8_static")
# Largest mean distance of a log-probability from float32, and bytes of the file over float32's.
BOUNDS = {
    "fp16": (0.002, 0.80),
    "int8_weight": (0.02, 0.65),
    "int4_weight": (0.15, 0.60),
    "int8_dynamic": (0.05, 0.75),
    "int8_static": (0.05, 0.85),
}
LAYER = {"heads": 2, "head_width": 16, "feed_forward_1": 72, "feed_forward_2": 45, "convolution": 32}
LINEAGE = {"stage": "quantize", "parents": {"teacher": "0" * 64}}


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("parent") / "model.onnx"
    layers = (
        tiny_layer(**LAYER),
        tiny_layer(**{**LAYER, "heads": 0, "ranks": {"feed_forward_1.up": 7, "convolution.out": 9}}),
    )
    model = tiny_model(layers, width=32, subsampling_channels=8)
    export_model(path, model, name="teacher", tokens=["<blank>", *"▁abcd"], lineage={"stage": "train_teacher"})
    return path


def quantized(parent: Path, scheme: str, path: Path, **keys) -> dict:
    config = QuantizeConfig(**{"from": "teacher", "scheme": scheme, **keys})
    audio = calibration_audio(ToneCorpus(), 4, seed=1) if scheme == "int8_static" else []
    model = quantize_post_training(parent, config, audio)
    return write_quantized(path, model, onnx.load(parent), name=scheme, lineage=LINEAGE, nominal=NOMINAL_BITS[scheme])


@pytest.fixture(scope="module", params=SCHEMES)
def made(request, parent, tmp_path_factory) -> tuple[str, Path, dict]:
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    return request.param, path, quantized(parent, request.param, path)


def test_log_probabilities_are_near_and_the_file_is_small(made, parent):
    scheme, path, summary = made
    distance, share = BOUNDS[scheme]
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    expected, expected_lengths = onnx_outputs(parent, waveform, lengths)
    found, found_lengths = onnx_outputs(path, waveform, lengths)
    assert np.array_equal(found_lengths, expected_lengths)
    difference = np.mean([np.abs(a[:n] - b[:n]).mean() for a, b, n in zip(found, expected, expected_lengths)])
    assert 0 < difference < distance
    assert path.stat().st_size < share * parent.stat().st_size
    assert summary["bytes"] == path.stat().st_size
    assert 0 < summary["log_prob_difference"] < distance


def test_padding_does_not_change_an_utterance(made):
    scheme, path, _ = made
    if scheme == "int8_dynamic":
        pytest.skip("scales are taken over the whole batch, padding included")
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    both, frames = onnx_outputs(path, waveform, lengths)
    alone, _ = onnx_outputs(path, waveform[1:, : int(lengths[1])], lengths[1:])
    np.testing.assert_allclose(both[1, : frames[1]], alone[0, : frames[1]], atol=2e-3)


def test_metadata_is_the_parents_under_a_new_name(made, parent):
    scheme, path, _ = made
    before, after = read_metadata(onnx.load(parent)), read_metadata(model := onnx.load(path))
    assert after.pop("name") == scheme
    assert json.loads(after.pop("lineage")) == LINEAGE
    assert after.pop("checksum") != before["checksum"]
    assert after == {key: value for key, value in before.items() if key not in ("name", "lineage", "checksum")}
    assert len(model.metadata_props) == len(before)
    assert (model.producer_name, model.producer_version) == ("diminuendo", "")


def test_frontend_is_untouched(made, parent):
    """What enters the first convolution with a stride is the same in every bit: the frontend's own have none."""
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))

    def features(path: Path) -> np.ndarray:
        model = onnx.load(path)
        strided = [node for node in model.graph.node if any(key.name == "strides" for key in node.attribute)]
        value = strided[0].input[0]
        model.graph.output.insert(0, onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))
        return onnx_outputs(model.SerializeToString(), waveform, lengths)[0]

    assert np.array_equal(features(made[1]), features(parent))


def test_the_same_bytes_twice(made, parent, tmp_path):
    scheme, path, summary = made
    assert quantized(parent, scheme, tmp_path / "again.onnx") == summary
    assert sha256_of(tmp_path / "again.onnx") == sha256_of(path)


def test_summary_tells_what_the_file_holds(made, parent):
    scheme, path, summary = made
    graph = WeightGraph(onnx.load(parent))
    assert summary["parameters"] == sum(int(np.prod(graph.initializers[n].dims)) for n in graph.parameters())
    for shares in ("parameters_share", "multiply_accumulates_share"):
        assert sum(summary[shares].values()) == pytest.approx(1, abs=1e-3)
    narrowest = {"fp16": "16_bit", "int4_weight": "4_bit"}.get(scheme, "8_bit")
    assert summary["parameters_share"][narrowest] > 0.85
    left_out = {entry["group"]: entry for entry in summary["left_out"]}
    assert {"frontend", "attention scores and mixing"} <= set(left_out)
    assert all(entry["reason"] for entry in left_out.values())
    assert sum(summary["bytes_of"].values()) == path.stat().st_size
    assert summary["bytes_of"]["codes"] >= summary["parameters"] * int(narrowest.split("_")[0]) * 0.8 / 8
    assert (summary["multiply_accumulates_share_integer"] > 0.3) == (scheme in ("int8_dynamic", "int8_static"))
    assert summary["bytes_over_nominal"] == pytest.approx(
        path.stat().st_size * 8 / summary["parameters"] / int(narrowest.split("_")[0]), abs=1e-3
    )


def test_work_is_counted_by_hand(parent, tmp_path):
    from diminuendo.compression.quantization.coverage import SECONDS, count_macs

    work = {item.weight: item.count for item in count_macs(onnx.load(parent), 4000) if item.weight}
    frames = (round(SECONDS * 4000) - 128) // 64 + 1
    after = (frames - 1) // 2 + 1
    assert work["layers.0.attention.query.weight"] == after * 32 * 32
    assert work["layers.0.convolution.depthwise.weight"] == after * 32 * 5
    assert work["subsampling.first.weight"] == after * 6 * 8 * 9
    attention = [w.count for w in count_macs(onnx.load(parent), 4000) if w.group.startswith("attention")]
    assert attention == [2 * 2 * after * after * 16]


@pytest.mark.parametrize("channels", [8, 0])
def test_stored_values_are_what_the_file_decodes_to(channels, parent, tmp_path):
    """ONNX Runtime, asked for the weights themselves, gives what the codec says, bit for bit."""
    import onnxruntime
    from onnx import helper

    if not channels:  # the convolution in front is over all bands: 60 inputs, which groups of 16 and 32 do not divide
        parent = tmp_path / "parent.onnx"
        model = tiny_model((tiny_layer(**LAYER),), width=32, subsampling_channels=0)
        export_model(parent, model, name="teacher", tokens=["<blank>", *"▁abcd"], lineage={})

    def several_bits(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
        return Storage((2, 3, 4, 5, 6, 8)[len(name) % 6], None if sees_one_channel(operator, shape) else 16)

    for choice in (uniform(16), uniform(8), uniform(4, 32), several_bits):
        chosen = plan(WeightGraph(onnx.load(parent)), choice, 16 if choice("", "MatMul", (64, 64)).bits == 16 else 8)
        expected = stored_values(onnx.load(parent), chosen)
        model = store_all(WeightGraph(onnx.load(parent)), chosen)
        names = [name for name in expected if any(name in node.output for node in model.graph.node)]
        assert len(names) > 30
        model.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        waveform, lengths = speech_batch()
        found = session.run(names, {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()})
        for name, value in zip(names, found):
            assert np.array_equal(value, expected[name]), name


def test_small_weights_keep_more_bits():
    assert storage_for("MatMul", (1, 4), 4, 32) == FP16
    assert storage_for("MatMul", (3, 4), 4, 32).bits == 4
    assert storage_for("MatMul", (96, 96), 4, 32).bits == 4
    assert storage_for("MatMul", (96, 96), 4, 1).bits == 8, "a scale for every weight is no saving"
    assert storage_for("MatMul", (96, 96), 4, 32, gives_tokens=True).bits == 8
    assert storage_for("Conv", (96, 1, 15), 4, 32).bits == 8, "a kernel too short to share a scale"
    assert storage_for("Conv", (96, 80, 9), 4, 32) == Storage(4, 32), "a convolution over all bands is a matrix"


def test_calibration_reads_train_only_and_repeats_itself():
    class Watched(ToneCorpus):
        def __init__(self):
            super().__init__()
            self.heard = []

        def audio(self, utterance):
            self.heard.append(utterance.id)
            return super().audio(utterance)

    first, second = Watched(), Watched()
    one, two = calibration_audio(first, 5, seed=3), calibration_audio(second, 5, seed=3)
    assert len(first.heard) == 5 and all(name.startswith("train") for name in first.heard)
    assert first.heard == second.heard and all(np.array_equal(a, b) for a, b in zip(one, two))
    assert len(calibration_audio(ToneCorpus(), 1000, seed=3)) == len(ToneCorpus().train)
    other = Watched()
    calibration_audio(other, 5, seed=4)
    assert other.heard != first.heard


def test_a_file_that_gives_no_log_probabilities_is_refused(parent, tmp_path):
    broken = onnx.load(parent)
    graph = WeightGraph(broken)
    poison = np.full_like(graph.array("out.bias"), np.nan)
    graph.remove("out.bias")
    graph.add("out.bias", poison)
    with pytest.raises(UserError, match="no log-probabilities"):
        write_quantized(
            tmp_path / "model.onnx", graph.finish(), onnx.load(parent), name="broken", lineage=LINEAGE, nominal=32
        )


def test_no_trace_of_where_it_was_made(made, parent):
    _, path, _ = made
    data = path.read_bytes()
    assert str(parent.parent).encode() not in data and b"/tmp" not in data
    write_onnx(path.with_name("copy.onnx"), onnx.load(path))
    assert sha256_of(path.with_name("copy.onnx")) == sha256_of(path)


def test_a_small_model_is_within_its_bytes(tmp_path):
    """An eighth over the bare codes: scales, nodes, metadata, and the layers that keep 8 bits."""
    layer = tiny_layer(heads=0, feed_forward_1=0, feed_forward_2=256, convolution=128, kernel=15)
    model = tiny_model((layer,) * 3, width=128, subsampling_channels=0)
    path = tmp_path / "model.onnx"
    export_model(path, model, name="student", tokens=["<blank>", *"▁abcd"], lineage={})
    summary = quantized(path, "int4_weight", tmp_path / "int4.onnx")
    assert summary["bytes_over_nominal"] < 1.125
    assert summary["parameters_share"]["4_bit"] > 0.95
