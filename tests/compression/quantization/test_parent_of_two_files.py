"""Quantization of a file whose weights lie beside it: one tensor at a time, and to the same bytes as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from diminuendo.artifact import alone, tensors
from diminuendo.artifact.external_data import bytes_of_files, check_data, data_of
from diminuendo.artifact.onnx_file import MODEL, read_onnx, write_onnx
from diminuendo.artifact.outside import bytes_in_files
from diminuendo.compression.pruning.stored_sparsity import stored_sparsity
from diminuendo.compression.quantization.config import NOMINAL_BITS, BudgetConfig, QuantizeConfig
from diminuendo.compression.quantization.mixed import choose
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.quantization_aware import insert_fake_quantization
from diminuendo.compression.quantization.quantization_aware_file import write_quantization_aware
from diminuendo.compression.quantization.quantized_file import write_quantized
from diminuendo.compression.quantization.storage import uniform
from diminuendo.compression.quantization.weight_writer import store_by_choice
from diminuendo.evaluation.inspection import inspect_model
from diminuendo.export.check import options_for_one_run
from diminuendo.export.write import export_model
from tests.factories.models import ToneCorpus, onnx_outputs, speech_batch
from tests.factories.two_files import SMALLEST, model_of_some_kilobytes

TOKENS = ["<blank>", *"▁abcd"]
ALL = 10**6


def limits(monkeypatch, limit: int, whole: int = 0) -> None:
    for name, value in {"LIMIT": limit, "WHOLE": whole, "SMALLEST": SMALLEST}.items():
        monkeypatch.setattr(tensors, name, value)


@pytest.fixture
def parents(tmp_path, monkeypatch) -> dict[str, Path]:
    """The same model as one file and as two."""
    paths = {name: tmp_path / name / MODEL for name in ("one", "two")}
    for name, path in paths.items():
        if name == "two":
            limits(monkeypatch, 2000)
        export_model(path, model_of_some_kilobytes(), name="teacher", tokens=TOKENS, lineage={})
    monkeypatch.undo()
    assert [data_of(path) is None for path in paths.values()] == [True, False]
    return paths


def audio() -> list[np.ndarray]:
    corpus = ToneCorpus()
    return [corpus.audio(utterance) for utterance in corpus.train[:3]]


def quantized(parent: Path, scheme: str, path: Path) -> dict:
    model = quantize_post_training(parent, QuantizeConfig(**{"from": "teacher", "scheme": scheme}), audio())
    return write_quantized(path, model, read_onnx(parent), name=scheme, lineage={}, nominal=NOMINAL_BITS[scheme])


@pytest.mark.parametrize("how", ["one, read by the tensor", "two"])
@pytest.mark.parametrize("scheme", NOMINAL_BITS)
def test_wherever_the_parents_weights_are_the_file_is_the_same(scheme, how, parents, tmp_path, monkeypatch):
    expected = quantized(parents["one"], scheme, tmp_path / "expected" / MODEL)
    limits(monkeypatch, ALL)
    found = quantized(parents[how.split(",")[0]], scheme, tmp_path / "found" / MODEL)
    assert found == expected
    assert (tmp_path / "found" / MODEL).read_bytes() == (tmp_path / "expected" / MODEL).read_bytes()
    assert [path.name for path in (tmp_path / "found").iterdir()] == [MODEL]


@pytest.mark.parametrize("layout", ["side by side", "alone"])
@pytest.mark.parametrize("scheme", NOMINAL_BITS)
def test_what_is_still_too_large_is_two_files_as_well(scheme, layout, parents, tmp_path, monkeypatch):
    monkeypatch.setattr(alone, "SIDE_BY_SIDE", 0 if layout == "alone" else ALL)
    expected = quantized(parents["one"], scheme, tmp_path / "one-file" / MODEL)
    limits(monkeypatch, 2000)
    path = tmp_path / "quantized" / MODEL
    summary = quantized(parents["two"], scheme, path)
    check_data(path)
    assert data_of(path) is not None
    assert summary["bytes"] == bytes_of_files(path) == sum(summary["bytes_of"].values())
    varying = ("bytes", "bytes_over_weights", "bytes_over_nominal", "bytes_of")
    assert all(summary[key] == expected[key] for key in expected if key not in varying)
    batch = speech_batch(seconds=(1.2, 0.7))
    assert np.array_equal(onnx_outputs(path, *batch)[0], onnx_outputs(tmp_path / "one-file" / MODEL, *batch)[0])
    assert inspect_model(path).sparsity == inspect_model(tmp_path / "one-file" / MODEL).sparsity


def test_mixed_bits_are_chosen_as_from_one_file(parents, tmp_path, monkeypatch):
    def chosen(parent: Path, budget: BudgetConfig) -> tuple[dict, onnx.ModelProto]:
        config = QuantizeConfig(**{"from": "teacher", "scheme": "mixed", "budget": budget, "group_size": 16})
        work = tmp_path / parent.parent.name
        choice, _, found = choose(read_onnx(parent), config, audio(), work, name="mixed", lineage={})
        return found, store_by_choice(read_onnx(parent), choice)

    size = bytes_in_files(store_by_choice(onnx.load(parents["one"]), uniform(4, 16)))
    expected, model = chosen(parents["one"], BudgetConfig(bytes=size))
    limits(monkeypatch, ALL)
    found, other = chosen(parents["two"], BudgetConfig(bytes=size))
    assert found == expected
    for path, one in (("expected", model), ("found", other)):
        write_onnx(tmp_path / path / MODEL, one)
    assert (tmp_path / "found" / MODEL).read_bytes() == (tmp_path / "expected" / MODEL).read_bytes()
    limits(monkeypatch, 2000)  # the member will be two files, which are larger by the gaps between tensors
    assert choose_bytes(parents["two"], tmp_path, 3 * size) <= 3 * size


def choose_bytes(parent: Path, folder: Path, limit: int) -> int:
    config = QuantizeConfig(**{"from": "teacher", "scheme": "mixed", "budget": {"bytes": limit}, "group_size": 16})
    choice, _, _ = choose(read_onnx(parent), config, audio(), folder / "two", name="mixed", lineage={})
    path = folder / "mixed" / MODEL
    model = store_by_choice(read_onnx(parent), choice)
    write_quantized(path, model, read_onnx(parent), name="mixed", lineage={}, nominal=4)
    return bytes_of_files(path)


def test_fine_tuned_weights_give_the_same_file_from_a_model_that_is_too_large(tmp_path, monkeypatch):
    def written(folder: Path) -> bytes:
        model, choice = model_of_some_kilobytes(), uniform(8)
        insert_fake_quantization(model, choice)
        folder.mkdir()
        write_quantization_aware(folder, model, choice, name="aware", tokens=TOKENS, lineage={}, nominal=8)
        assert not [path for path in folder.iterdir() if path.is_dir()]
        return (folder / MODEL).read_bytes()

    expected = written(tmp_path / "one")
    model = model_of_some_kilobytes()
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    limits(monkeypatch, weights // 2)  # between that of the float32 graph and that of the file in eight bits
    assert written(tmp_path / "two") == expected


def test_zeros_are_counted_in_both_files(parents, monkeypatch):
    expected = stored_sparsity(parents["one"])
    limits(monkeypatch, 2000)
    assert stored_sparsity(parents["two"]) == stored_sparsity(parents["one"]) == expected


def test_a_single_run_of_a_large_file_decodes_where_a_weight_is_used(parents, tmp_path, monkeypatch):
    """The same log-probabilities, from a session that has not folded the nodes that decode."""
    import onnxruntime

    monkeypatch.setattr(alone, "SIDE_BY_SIDE", 0)
    path = tmp_path / "int8" / MODEL
    quantized(parents["two"], "int8_weight", path)
    monkeypatch.undo()
    assert not options_for_one_run(ALL).has_providers()
    monkeypatch.setattr("diminuendo.export.check.SIDE_BY_SIDE", 0)
    monkeypatch.setattr("diminuendo.export.check.DECODED_BEFORE", 64)
    options = options_for_one_run(1)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    found, _ = session.run(None, {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()})
    assert np.abs(found - onnx_outputs(path, waveform, lengths)[0]).max() < 1e-5
    stored = onnx.load(tmp_path / "optimised.onnx").graph.initializer
    assert sum(tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1 for tensor in stored) > 10
