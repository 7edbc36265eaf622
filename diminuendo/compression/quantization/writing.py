"""The files of a quantized member: from the parent's shipped file, or from weights that were trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.artifact.history import HISTORY, SUMMARY, write_history
from diminuendo.artifact.onnx_file import MODEL, read_onnx
from diminuendo.compression.quantization.config import NOMINAL_BITS
from diminuendo.compression.technique import Job
from diminuendo.core.files import write_json

if TYPE_CHECKING:  # post-training quantization must not wait seconds for torch
    import numpy as np

    from diminuendo.compression.quantization.weight_writer import Rounding
    from diminuendo.models.model import SpeechModel
    from diminuendo.training.schedule import Trained

TRAINED = "trained.safetensors"  # float32, before they were rounded: the other files can be written from it again
NOT_TRACKED = ("left_out", "bits")  # of the summary: too long for a table of figures


def write(job: Job, trained: Trained | None, folder: Path) -> None:
    """The shipped file and its figures; of a trained member also the weights before and after rounding.

    Raises:
        UserError: the file does not run, does not give what the stored weights give, or is over its budget.
    """
    summary = _post_training(job, folder) if trained is None else _trained(job, trained, folder)
    if job.settings.scheme == "mixed":
        from diminuendo.compression.quantization.mixed import SENSITIVITY

        shutil.copyfile(job.work / SENSITIVITY, folder / SENSITIVITY)
    write_json(folder / SUMMARY, summary)
    job.track.summary({key: value for key, value in summary.items() if key not in NOT_TRACKED})


def load(job: Job, folder: Path) -> SpeechModel:
    """The trained weights in float32, not rounded."""
    from safetensors.torch import load_file

    model = job.parent_model()
    model.load_state_dict(load_file(folder / TRAINED))
    return model


def _trained(job: Job, trained: Trained, folder: Path) -> dict[str, Any]:
    from diminuendo.artifact.outer_products import products_outside
    from diminuendo.artifact.weight_graph import WeightGraph
    from diminuendo.compression.quantization.bit_choice import choice_of
    from diminuendo.compression.quantization.quantization_aware import remove_fake_quantization
    from diminuendo.compression.quantization.quantization_aware_file import write_quantization_aware
    from diminuendo.compression.teacher_layers import teacher_layers
    from diminuendo.models.store import load_model, save_weights

    integers = products_outside(WeightGraph(read_onnx(job.parent / MODEL))) if job.settings.integer_products else ()
    choice = choice_of(job.settings, trained.summary.get("bits"), trained.model, integers)
    nominal = trained.summary["mean_bits"] if job.settings.scheme == "mixed" else NOMINAL_BITS[job.settings.scheme]
    remove_fake_quantization(trained.model)
    save_weights(folder / TRAINED, trained.model)
    write_history(folder / HISTORY, trained.history)
    tokens = load_model(job.parent).tokens
    keys = {"name": job.name, "tokens": tokens, "lineage": job.lineage, "nominal": nominal}
    keys |= {"packed": job.settings.packed, "budget": job.settings.budget}
    keys["teacher_layers"] = teacher_layers(job, range(len(trained.model.structure().layers)))
    return trained.summary | write_quantization_aware(folder, trained.model, choice, **keys)


def _post_training(job: Job, folder: Path) -> dict[str, Any]:
    from diminuendo.compression.quantization.quantized_file import write_quantized
    from diminuendo.compression.quantization.weight_writer import store_by_choice

    source, settings, found = job.parent / MODEL, job.settings, {}
    rounding = _rounding(job)
    if settings.scheme == "mixed":
        from diminuendo.compression.quantization.mixed import mixed_bits, mixed_choice

        found = mixed_bits(job, rounding)
        nominal = found["mean_bits"]
        model = read_onnx(source)
        choice = mixed_choice(model, settings, found["bits"])
        model = store_by_choice(model, choice, settings.packed, rounding)
    else:
        from diminuendo.compression.quantization.post_training import quantize_post_training

        nominal = NOMINAL_BITS[settings.scheme]
        model = quantize_post_training(source, settings, _calibration(job), rounding)
    parent, target = read_onnx(source), folder / MODEL
    keys = {"name": job.name, "lineage": job.lineage, "nominal": nominal, "limit": settings.log_prob_difference}
    return write_quantized(target, model, parent, **keys) | found


def _rounding(job: Job) -> Rounding:
    from diminuendo.compression.quantization.weight_writer import by_itself

    if not job.settings.error_feedback:
        return by_itself
    from diminuendo.compression.quantization.calibration import calibration_audio
    from diminuendo.compression.quantization.error_feedback import with_feedback

    audio = calibration_audio(job.corpus, job.settings.calibration_utterances, job.seed)
    return with_feedback(read_onnx(job.parent / MODEL), audio, job.work)


def _calibration(job: Job) -> list[np.ndarray]:
    if job.settings.scheme != "int8_static":
        return []
    from diminuendo.compression.quantization.calibration import calibration_audio

    return calibration_audio(job.corpus, job.settings.calibration_utterances, job.seed)
