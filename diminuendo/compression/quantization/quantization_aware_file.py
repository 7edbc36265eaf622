"""The files of a model that was trained with fake quantization: nothing here has a part in its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from diminuendo.artifact.onnx_file import MODEL, PREFIX, metadata_of
from diminuendo.artifact.outside import make_room
from diminuendo.artifact.tensors import copy_of
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization.config import BudgetConfig
from diminuendo.compression.quantization.quantization_aware import load_stored, remove_fake_quantization
from diminuendo.compression.quantization.quantized_file import compare, write_quantized
from diminuendo.compression.quantization.storage import Choice
from diminuendo.compression.quantization.weight_writer import plan, store_all, stored_values
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.registry import build_onnx
from diminuendo.models.batch_norm import fold
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.store import save_model

# Nats in the mean, where products round their inputs to 8 bits: of random weights it was up to 0.3.
PACKED_TOLERANCE = 1.0


def fold_batch_norms(model: SpeechModel) -> None:
    """Multiply every batch normalisation into the convolution before it, in place, and leave an identity."""
    for convolution, norm in model.structure().batch_norms.items():
        fold(model.get_submodule(convolution), model.get_submodule(norm))


def write_quantization_aware(
    folder: Path,
    model: SpeechModel,
    choice: Choice,
    *,
    name: str,
    tokens: list[str],
    lineage: dict,
    nominal: float,
    packed: bool = False,
    budget: BudgetConfig | None = None,
    teacher_layers: Sequence[int] | None = None,
) -> dict:
    """Write a model that was fine-tuned so: the shipped file, and the record and weights that PyTorch loads.

    Args:
        model: after ``insert_fake_quantization`` with the same choice, and training; it is left with the stored values.
        packed: products read weights as they are stored.
        teacher_layers: see ``models.store.StoredModel``.
    Returns:
        the content of ``summary.json``.
    Raises:
        UserError: the file does not run, does not give what the stored weights give, or is over its budget.
    """
    remove_fake_quantization(model)
    fold_batch_norms(model)
    record = model.record
    metadata = metadata_of(name, tokens, record.sample_rate, record.frame_seconds, parameter_count(model), lineage)
    metadata |= {f"{PREFIX}{key}": value for key, value in model.head.metadata.items()}
    with TemporaryDirectory(dir=folder) as work:
        plain = build_onnx(model, metadata)
        make_room(plain, Path(work))
        chosen = plan(WeightGraph(plain), choice)
        load_stored(model, stored_values(plain, chosen))
        save_model(folder, model, tokens, teacher_layers)
        stored = store_all(WeightGraph(copy_of(plain)), chosen, packed)
        # Training let weights move as far as rounding brings them back: no measure of harm.
        keys = {"name": name, "lineage": lineage, "nominal": nominal, "usual": False}
        summary = write_quantized(folder / MODEL, stored, plain, **keys)
    if packed:
        _check_packed(folder, build_onnx(model, metadata), record.sample_rate)
    else:
        check_parity(folder)
    if budget is not None and budget.bytes is not None and summary["bytes"] > budget.bytes:
        excess = summary["bytes"] - budget.bytes
        raise UserError(
            f"{name}: {summary['bytes']:,} bytes after training, {excess:,} over budget.bytes; "
            f"give {budget.bytes - 2 * excess:,} or less"
        )
    return summary


def _check_packed(folder: Path, plain: onnx.ModelProto, sample_rate: int) -> None:
    """Compare a packed file, whose products round what they are given, with the same weights in float32."""
    with TemporaryDirectory(dir=folder) as work:
        make_room(plain, Path(work))
        difference = compare(folder / MODEL, plain, sample_rate)
    if not difference <= PACKED_TOLERANCE:  # also true of NaN
        raise UserError(
            f"{folder}: {MODEL} and the stored weights differ by {difference:.2g} in a log-probability, at most "
            f"{PACKED_TOLERANCE:g} is expected; build it again with {repro(folder, force=True)}"
        )
