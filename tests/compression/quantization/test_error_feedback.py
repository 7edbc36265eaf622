"""Rounding with error feedback: what the matrices are, that the error over calibration audio falls, and its bytes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from diminuendo.artifact.codec import quantize_matrix
from diminuendo.artifact.onnx_file import read_onnx
from diminuendo.artifact.session import open_session
from diminuendo.artifact.weight_graph import FLOAT, WeightGraph
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.equalisation import EqualisedGraph
from diminuendo.compression.quantization.error_feedback import quantize_with_feedback
from diminuendo.compression.quantization.input_grams import Gram, InputGrams, measure, taps_of
from diminuendo.export.write import export_model
from tests.factories.models import ToneCorpus, speech_batch, tiny_layer, tiny_model
from tests.factories.whisper_text import VOCABULARY, tiny_text_whisper

GROUP = 16


@pytest.fixture(scope="module")
def parents(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parents")
    layer = tiny_layer(heads=2, head_width=16, feed_forward_1=72, feed_forward_2=45, convolution=32)
    frames = tiny_model((layer,), width=32, subsampling_channels=8)
    text = tiny_text_whisper(5, width=32, position_channels=32)
    export_model(folder / "frames.onnx", frames, name="teacher", tokens=["<blank>", *"▁abcd"], lineage={})
    names = [f"t{number}" for number in range(VOCABULARY)]
    export_model(folder / "text.onnx", text, name="teacher", tokens=names, lineage={})
    return {name: folder / f"{name}.onnx" for name in ("frames", "text")}


def audio_for(name: str) -> list[np.ndarray]:
    if name == "frames":
        return calibration_audio(ToneCorpus(), 4, seed=1)
    waveform, lengths = speech_batch(16000, (0.5, 0.33, 0.4))
    return [row[:n].numpy() for row, n in zip(waveform, lengths.tolist())]


def config(**keys) -> QuantizeConfig:
    return QuantizeConfig(**{"from": "teacher", **keys})


def error_of(weight: np.ndarray, stored: np.ndarray, gram: np.ndarray) -> float:
    """Squared change of the outputs over the rows of ``gram``."""
    change = (weight - stored).astype(np.float64)
    return float(np.einsum("io,io->", change, gram @ change))


@pytest.mark.parametrize(("bits", "group"), [(2, 16), (4, 16), (4, None), (3, 20), (8, None)])
def test_the_outputs_change_less_than_with_plain_rounding_and_the_bytes_are_as_many(bits, group):
    draw = np.random.default_rng(3)
    mixing = draw.normal(size=(150, 150)) * draw.gamma(0.5, size=150)
    rows = draw.normal(size=(400, 150)) @ mixing
    weight, gram = draw.normal(size=(150, 30)).astype(np.float32), rows.T @ rows
    plain, fed_back = quantize_matrix(weight, bits, group), quantize_with_feedback(weight, Gram(gram, 400), bits, group)
    assert error_of(weight, fed_back.decode(), gram) < 0.5 * error_of(weight, plain.decode(), gram)
    other = draw.normal(size=(400, 150)) @ mixing  # and for rows of the same kind that it has not seen
    other = other.T @ other
    assert error_of(weight, fed_back.decode(), other) < 0.8 * error_of(weight, plain.decode(), other)
    assert fed_back.codes.min() >= -(2 ** (bits - 1)) and fed_back.codes.max() < 2 ** (bits - 1)
    assert np.abs(fed_back.scales.codes.astype(int)).min() >= 1 and (fed_back.bits, fed_back.group_size) == (
        plain.bits,
        plain.group_size,
    )
    for field in ("steps", "lengths"):
        np.testing.assert_array_equal(getattr(fed_back.scales, field), getattr(plain.scales, field))


def test_inputs_that_are_never_there_are_rounded_by_themselves():
    draw = np.random.default_rng(4)
    weight = draw.normal(size=(40, 6)).astype(np.float32)
    rows = draw.normal(size=(90, 40))
    rows[:, 10:25] = 0
    fed_back, plain = quantize_with_feedback(weight, Gram(rows.T @ rows, 90), 4, 8), quantize_matrix(weight, 4, 8)
    np.testing.assert_array_equal(fed_back.decode()[16:24], plain.decode()[16:24])
    silent = quantize_with_feedback(weight, Gram(np.zeros((40, 40)), 90), 4, 8)
    np.testing.assert_array_equal(silent.decode(), plain.decode())


@pytest.mark.parametrize("name", ["frames", "text"])
def test_matrices_are_those_of_the_rows_that_products_read(name, parents, tmp_path):
    """Outside of loops: against the rows themselves, which the graph can give there."""
    model, audio = read_onnx(parents[name]), audio_for(name)
    grams, graph = InputGrams(model, audio, tmp_path), EqualisedGraph(model)
    direct = read_onnx(parents[name])
    outer = {weight: taps[0] for weight, taps in grams.taps.items() if len(taps) == 1 and taps[0].loop is None}
    assert outer
    del direct.graph.output[:]
    direct.graph.output.extend(helper.make_tensor_value_info(v, FLOAT, None) for v in {t.value for t in outer.values()})
    session, options = None, __import__("onnxruntime").SessionOptions()
    session = open_session(direct, options)
    names = [value.name for value in direct.graph.output]
    total = dict.fromkeys(names, 0.0)
    for waveform in audio:
        feed = {"waveform": waveform[None], "waveform_lengths": np.array([waveform.size], np.int64)}
        for value, rows in zip(names, session.run(names, feed)):
            rows = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
            total[value] = total[value] + rows.T @ rows
    for weight, tap in outer.items():
        # What is multiplied into the weight is divided out of its inputs: outputs keep their size.
        before, after = graph.initializers[weight], graph.array(weight).astype(np.float64)
        raw = onnx.numpy_helper.to_array(before).astype(np.float64)
        if WeightGraph(model).initializers[weight].dims[0] != tap.inputs:
            raw, after = raw.T, after.T
        outputs = raw.T @ total[tap.value] @ raw
        np.testing.assert_allclose(
            after.T @ grams.of(weight).matrix @ after, outputs, rtol=1e-3, atol=1e-4 * outputs.max()
        )


def test_a_decoders_rows_are_those_of_the_prompt_and_of_the_text_it_writes(parents):
    """The rows of an embedding that is looked up in the loop are known from the tokens: those go through one sum."""
    model = read_onnx(parents["text"])
    taps = taps_of(WeightGraph(model))
    assert all(name in taps for name in ("decoder.embedding.weight", "decoder.layers.1.attention.query.weight"))
    tap = taps["decoder.layers.0.attention.query.weight"][0]
    assert tap.loop is not None
    (waveform, *_) = audio_for("text")
    (gram,) = measure(model, [tap], [waveform])
    session = open_session(read_onnx(parents["text"]), __import__("onnxruntime").SessionOptions())
    feed = {"waveform": waveform[None], "waveform_lengths": np.array([waveform.size], np.int64)}
    (tokens,) = session.run(["tokens"], feed)
    parameters = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    read = [*parameters["prompt"], *tokens[0, :-1]]
    x = parameters["decoder.embedding.weight"][read] + parameters["decoder.positions"][: len(read)]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    norm = "decoder.layers.0.attention.norm"
    x = x * parameters[f"{norm}.weight"] + parameters[f"{norm}.bias"]
    np.testing.assert_allclose(gram.matrix, x.T @ x, rtol=1e-3, atol=1e-3)
