"""Rounding with error feedback: what the matrices are, that the error over calibration audio falls, and its bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from diminuendo.artifact.codec import quantize_matrix
from diminuendo.artifact.onnx_file import MODEL, read_onnx, write_onnx
from diminuendo.artifact.session import open_session
from diminuendo.artifact.weight_graph import FLOAT, WeightGraph
from diminuendo.compression.quantization import error_feedback, input_grams
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.config import BudgetConfig, QuantizeConfig
from diminuendo.compression.quantization.description import DESCRIPTION
from diminuendo.compression.quantization.equalisation import INPUTS, EqualisedGraph
from diminuendo.compression.quantization.error_feedback import Problem, quantize_with_feedback, with_feedback
from diminuendo.compression.quantization.input_grams import Gram, InputGrams, measure, taps_of
from diminuendo.compression.quantization.mixed import choose
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.sensitivity import Posteriors
from diminuendo.compression.quantization.storage import Choice, uniform
from diminuendo.compression.quantization.weight_writer import Rounding, by_itself
from diminuendo.core.sealed import write_sealed
from diminuendo.export.write import export_model
from tests.factories.jobs import make_member
from tests.factories.models import ToneCorpus, speech_batch, tiny_layer, tiny_model
from tests.factories.whisper_text import VOCABULARY, tiny_text_whisper

GROUP, EMBEDDING = 16, "decoder.embedding.weight"


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


@pytest.mark.parametrize("broken", ["scales", "feedback", "sweeps"])
def test_each_part_lowers_the_error(broken, monkeypatch):
    draw = np.random.default_rng(6)
    rows = draw.normal(size=(700, 300)) @ (draw.normal(size=(300, 300)) * draw.gamma(0.5, size=300))
    weight, gram = draw.normal(size=(300, 50)).astype(np.float32), Gram(rows.T @ rows, 700)

    def error() -> float:
        return error_of(weight, quantize_with_feedback(weight, gram, 3, 32).decode(), gram.matrix)

    if broken != "sweeps":  # which make up for most of what the others leave undone
        monkeypatch.setattr(error_feedback, "SWEEPS", 0)
    whole = error()
    match broken:
        case "scales":
            monkeypatch.setattr(Problem, "_clipped", lambda self, weight, scale_codes, steps: scale_codes)
        case "feedback":
            monkeypatch.setattr(error_feedback, "_inverse_factor", lambda gram: np.eye(len(gram)))
        case "sweeps":
            monkeypatch.setattr(error_feedback, "SWEEPS", 0)
    assert whole < 0.97 * error()


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
    session = open_session(direct, onnxruntime.SessionOptions())
    names = [value.name for value in direct.graph.output]
    total = dict.fromkeys(names, 0.0)
    for waveform in audio:
        feed = {"waveform": waveform[None], "waveform_lengths": np.array([waveform.size], np.int64)}
        for value, rows in zip(names, session.run(names, feed)):
            rows = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
            total[value] = total[value] + rows.T @ rows
    for weight, tap in outer.items():
        # What is multiplied into the weight is divided out of its inputs: outputs keep their size, but for the factors
        # that what reads them takes back.
        before, after = graph.initializers[weight], graph.array(weight).astype(np.float64)
        raw = onnx.numpy_helper.to_array(before).astype(np.float64)
        if WeightGraph(model).initializers[weight].dims[0] != tap.inputs:
            raw, after = raw.T, after.T
        columns = [own.factors for own in graph.scalings.get(weight, ()) if own.axis != INPUTS]
        raw = raw * np.prod(columns, axis=0) if columns else raw
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
    session = open_session(read_onnx(parents["text"]), onnxruntime.SessionOptions())
    feed = {"waveform": waveform[None], "waveform_lengths": np.array([waveform.size], np.int64)}
    (tokens,) = session.run(["tokens"], feed)
    parameters = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    read = [*parameters["prompt"], *tokens[0, :-1]]
    x = parameters["decoder.embedding.weight"][read] + parameters["decoder.positions"][: len(read)]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    norm = "decoder.layers.0.attention.norm"
    x = x * parameters[f"{norm}.weight"] + parameters[f"{norm}.bias"]
    np.testing.assert_allclose(gram.matrix, x.T @ x, rtol=1e-3, atol=1e-3)


SETTINGS = {
    "frames": {"scheme": "int4_weight", "group_size": GROUP},
    "packed text": {"scheme": "int4_weight", "group_size": GROUP, "packed": True},
    "frames in 8 bits": {"scheme": "int8_weight"},
}


def divergence_without_embedding(parent, audio: list[np.ndarray], rounding: Rounding, choice: Choice) -> float:
    """An untrained decoder's first layer takes any error of its embedding for another token."""
    posteriors = Posteriors(parent, audio, rounding)
    chosen = {name: choice(name, *_seen(weight)) for name, weight in posteriors.weights.items() if name != EMBEDDING}
    return posteriors.divergence({name: posteriors.rounded(name, storage) for name, storage in chosen.items()})


def _seen(weight: tuple[str, np.ndarray]) -> tuple[str, tuple[int, ...]]:
    return weight[0], weight[1].shape


@pytest.mark.parametrize("name", SETTINGS)
def test_a_file_is_as_large_and_its_outputs_are_nearer_to_its_parents(name, parents, tmp_path):
    kind, settings = "text" if "text" in name else "frames", config(**SETTINGS[name], error_feedback=True)
    parent, audio = read_onnx(parents[kind]), audio_for(kind)
    rounding = with_feedback(parent, audio, tmp_path)
    sizes = {}
    for how, given in {"plain": by_itself, "feedback": rounding}.items():
        write_onnx(tmp_path / f"{how}.onnx", quantize_post_training(parents[kind], settings, [], given))
        sizes[how] = (tmp_path / f"{how}.onnx").stat().st_size
    assert sizes["feedback"] == sizes["plain"]
    assert (tmp_path / "feedback.onnx").read_bytes() != (tmp_path / "plain.onnx").read_bytes()
    choice = uniform(8 if settings.scheme == "int8_weight" else 4, GROUP)
    plain, fed_back = (divergence_without_embedding(parent, audio, given, choice) for given in (by_itself, rounding))
    assert fed_back < 0.8 * plain


def test_the_error_of_every_product_falls_and_convolutions_are_rounded_by_themselves(parents, tmp_path):
    parent, audio = read_onnx(parents["text"]), audio_for("text")
    rounding, grams = with_feedback(parent, audio, tmp_path), InputGrams(parent, audio, tmp_path)
    graph, choice = EqualisedGraph(parent), uniform(4, GROUP)
    kinds = set()
    for product in graph.products():
        weight, storage = graph.array(product.weight), choice(product.weight, product.operator, product.shape)
        if storage.bits != 4:
            continue
        given = product.weight, product.operator, weight, storage
        plain, fed_back = by_itself(*given), rounding(*given)
        gram = grams.of(product.weight)
        kinds.add((product.operator, gram is not None))
        if gram is None:
            np.testing.assert_array_equal(fed_back.codes, plain.codes)
            continue
        matrix = weight if product.operator == "MatMul" else weight.T
        errors = [error_of(matrix, found.decode(), gram.matrix) for found in (fed_back, plain)]
        assert errors[0] < 0.7 * errors[1], product.weight
    assert kinds == {("MatMul", True), ("Gemm", True), ("Conv", False)}


def stored_with(rounding: Rounding, parents: dict[str, Path], folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    settings = config(**SETTINGS["packed text"], error_feedback=True)
    write_onnx(folder / MODEL, quantize_post_training(parents["text"], settings, [], rounding))
    return (folder / MODEL).read_bytes()


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """Numbers of products in the runs over the audio so far."""
    runs: list[int] = []
    whole = input_grams.measure

    def counting(model, taps, audio):
        runs.append(len(taps))
        return whole(model, taps, audio)

    monkeypatch.setattr(input_grams, "measure", counting)
    return runs


def test_killed_between_two_runs_it_goes_on_and_ends_with_the_same_bytes(parents, tmp_path, monkeypatch, counted):
    monkeypatch.setattr(input_grams, "MOST_AT_ONCE", 4 * 32**2)
    parent, audio = read_onnx(parents["text"]), audio_for("text")
    expected = stored_with(with_feedback(parent, audio, tmp_path), parents, tmp_path / "whole")
    whole, written = list(counted), []
    assert len(whole) > 2
    counted.clear()
    for work in ("again", "killed"):
        (tmp_path / work).mkdir()
    assert stored_with(with_feedback(parent, audio, tmp_path / "again"), parents, tmp_path / "b") == expected

    def killing(path, content):
        if len(written) == whole[0] + 1:  # within the files of the second run
            raise KeyboardInterrupt
        written.append(path)
        write_sealed(path, content)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(input_grams, "write_sealed", killing)
        with_feedback(parent, audio, tmp_path / "killed")
    counted.clear()
    rounding = with_feedback(parent, audio, tmp_path / "killed")
    assert counted == whole[1:]
    assert stored_with(rounding, parents, tmp_path / "c") == expected


def test_a_damaged_matrix_is_measured_again(parents, tmp_path, counted, capsys):
    parent, audio = read_onnx(parents["text"]), audio_for("text")
    expected = stored_with(with_feedback(parent, audio, tmp_path), parents, tmp_path / "a")
    damaged = tmp_path / "inputs_3.npz"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert stored_with(with_feedback(parent, audio, tmp_path), parents, tmp_path / "b") == expected
    assert len(counted) == 2 and "inputs_3.npz does not match its own digest" in capsys.readouterr().err


def test_rows_that_are_looked_up_keep_their_values_too(parents, tmp_path):
    """An embedding whose transpose predicts: its errors count along the states it predicts from, and in themselves."""
    parent, audio = read_onnx(parents["text"]), audio_for("text")
    grams = InputGrams(parent, audio, tmp_path)
    weight, gram = EqualisedGraph(parent).array(EMBEDDING).T, grams.of(EMBEDDING)
    grams.looked_up.clear()
    predicting = grams.of(EMBEDDING)
    own = {}
    for how, given in {"both": gram, "predicting": predicting}.items():
        own[how] = np.square(quantize_with_feedback(weight, given, 4, GROUP).decode() - weight).sum()
    plain = np.square(quantize_matrix(weight, 4, GROUP).decode() - weight).sum()
    assert own["both"] < 1.2 * plain < own["predicting"]


def test_the_number_of_threads_changes_no_bit():
    from threadpoolctl import threadpool_limits

    draw = np.random.default_rng(5)
    rows, weight = draw.normal(size=(900, 600)), draw.normal(size=(600, 40)).astype(np.float32)
    gram, found = Gram(rows.T @ rows, 900), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(quantize_with_feedback(weight, gram, 3, 64))
    np.testing.assert_array_equal(found[0].codes, found[1].codes)
    np.testing.assert_array_equal(found[0].scales.codes, found[1].scales.codes)


def test_mixed_bits_are_chosen_by_what_feedback_leaves(parents, tmp_path):
    parent, audio = read_onnx(parents["text"]), audio_for("text")
    settings = config(scheme="mixed", packed=True, group_size=GROUP, budget=BudgetConfig(bits=6), error_feedback=True)
    found = {}
    for how, rounding in {"plain": by_itself, "feedback": with_feedback(parent, audio, tmp_path)}.items():
        (tmp_path / how).mkdir()
        keys = {"name": "m", "lineage": {}, "rounding": rounding}
        _, sensitivities, _ = choose(parent, settings, audio, tmp_path / how, **keys)
        found[how] = sum(item.kl for item in sensitivities if item.bits == 4 and item.weight != EMBEDDING)
    assert found["feedback"] < 0.5 * found["plain"]


@pytest.mark.parametrize(
    "keys",
    [
        {"scheme": "int4_weight"},
        {"scheme": "int4_weight", "packed": True, "integer_products": True},
        {"scheme": "mixed", "packed": True, "budget": BudgetConfig(bits=6)},
        {"scheme": "mixed", "packed": True, "integer_products": True, "budget": BudgetConfig(bits=6)},
    ],
)
def test_a_member_says_so_and_is_made(keys, parents, tmp_path):
    teacher = tmp_path / "models" / "teacher"
    teacher.mkdir(parents=True)
    (teacher / MODEL).write_bytes(parents["frames"].read_bytes())
    settings = config(**keys, group_size=GROUP, error_feedback=True, calibration_utterances=2)
    made = {}
    for name, own in {"plain": settings.model_copy(update={"error_feedback": None}), "fed-back": settings}.items():
        make_member("quantize", tmp_path / "models", name, own)
        made[name] = json.loads((tmp_path / "models" / name / "summary.json").read_text())
    assert made["fed-back"]["log_prob_difference"] < made["plain"]["log_prob_difference"]
    assert DESCRIPTION.in_words(settings).endswith(", error feedback")
    record = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert DESCRIPTION.in_record(record).endswith(", error feedback")
    plain = config(**keys).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert "error_feedback" not in plain  # records of members without are what they were


REFUSED: dict[str, Callable[[], QuantizeConfig]] = {
    "found fp16": lambda: config(scheme="fp16", error_feedback=True),
    "found int8_dynamic": lambda: config(scheme="int8_dynamic", error_feedback=True),
    "found int8_static": lambda: config(scheme="int8_static", error_feedback=True),
    "found int4_weight and quantization_aware": lambda: config(
        scheme="int4_weight", error_feedback=True, quantization_aware=True
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_it_is_refused_where_it_does_nothing(told):
    with pytest.raises(ValueError, match=f"error_feedback works with int8_weight, int4_weight, mixed .*{told}"):
        REFUSED[told]()


def test_calibration_utterances_belong_to_it():
    assert config(scheme="int4_weight", error_feedback=True, calibration_utterances=32).calibration_utterances == 32
    with pytest.raises(ValueError, match="calibration_utterances works with int8_static, mixed and error_feedback"):
        config(scheme="int4_weight", calibration_utterances=32)
    with pytest.raises(ValueError, match="calibration_utterances works with"):
        config(scheme="int4_weight", error_feedback=False, calibration_utterances=32)
