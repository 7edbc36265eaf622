"""The files of a quantized member: from the parent's shipped file, or from weights that were trained on their grid."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.artifact.history import HISTORY, SUMMARY, write_history
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.compression.quantization.sensitivity import SENSITIVITY
from diminuendo.compression.quantization.storing import choice_of, mixed_bits
from diminuendo.compression.technique import Job
from diminuendo.core.files import write_json

if TYPE_CHECKING:  # post-training quantization must not wait seconds for torch
    from diminuendo.models.model import SpeechModel
    from diminuendo.training.schedule import Trained

TRAINED = "trained.safetensors"  # float32, before they were rounded: the other files can be written from it again
TOO_MUCH = ("left_out", "bits")  # of the summary, for a page of figures


def write(job: Job, trained: Trained | None, folder: Path) -> None:
    """The shipped file and its figures; of a trained member also the weights before and after rounding.

    Raises:
        UserError: the file does not run, does not give what the stored weights give, or is over its budget.
    """
    summary = _post_training(job, folder) if trained is None else _trained(job, trained, folder)
    if job.settings.scheme == "mixed":
        shutil.copyfile(job.work / SENSITIVITY, folder / SENSITIVITY)
    write_json(folder / SUMMARY, summary)
    job.track.summary({key: value for key, value in summary.items() if key not in TOO_MUCH})


def load(job: Job, folder: Path) -> SpeechModel:
    """The trained weights in float32, off their grid."""
    from safetensors.torch import load_file

    model = job.parent_model()
    model.load_state_dict(load_file(folder / TRAINED))
    return model


def _trained(job: Job, trained: Trained, folder: Path) -> dict[str, Any]:
    from diminuendo.compression.quantization.post_training import NOMINAL_BITS
    from diminuendo.compression.quantization.quantization_aware import deliver_aware, take_off_grid
    from diminuendo.compression.teacher_layers import teacher_layers
    from diminuendo.models.store import load_model, save_weights

    choice = choice_of(job.settings, trained.summary.get("bits"), trained.model.structure().output)
    nominal = trained.summary["mean_bits"] if job.settings.scheme == "mixed" else NOMINAL_BITS[job.settings.scheme]
    take_off_grid(trained.model)
    save_weights(folder / TRAINED, trained.model)
    write_history(folder / HISTORY, trained.history)
    tokens = load_model(job.parent).tokens
    keys = {"name": job.name, "tokens": tokens, "lineage": job.lineage, "nominal": nominal}
    keys["teacher_layers"] = teacher_layers(job, range(len(trained.model.structure().layers)))
    return trained.summary | deliver_aware(folder, trained.model, choice, budget=job.settings.budget, **keys)


def _post_training(job: Job, folder: Path) -> dict[str, Any]:
    import onnx

    from diminuendo.compression.quantization.post_training import (
        NOMINAL_BITS,
        calibration_audio,
        finish,
        quantize_post_training,
    )
    from diminuendo.compression.quantization.storage import by_name, store_by_choice

    source, settings, audio = job.parent / MODEL, job.settings, []
    keys = {"name": job.name, "lineage": job.lineage}
    if settings.scheme == "mixed":
        found = mixed_bits(job)
        model = store_by_choice(onnx.load(source), by_name(found["bits"], settings.group_size))
        return finish(folder / MODEL, model, onnx.load(source), nominal=found["mean_bits"], **keys) | found
    if settings.scheme == "int8_static":
        audio = calibration_audio(job.corpus, settings.calibration_utterances, job.seed)
    model = quantize_post_training(source, settings, audio)
    return finish(folder / MODEL, model, onnx.load(source), nominal=NOMINAL_BITS[settings.scheme], **keys)
