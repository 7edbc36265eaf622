"""How every weight of a member is stored: as its scheme says, or in bits of its own."""

from __future__ import annotations

from typing import Any

from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.post_training import NOMINAL_BITS
from diminuendo.compression.quantization.storage import Choice, by_name, uniform
from diminuendo.compression.technique import Job


def choice_of(settings: QuantizeConfig, bits: dict[str, int] | None, output: str) -> Choice:
    """How weights are stored; ``bits`` by weight are those of ``mixed``, ``output`` is the path of the last layer."""
    if settings.scheme == "mixed":
        return by_name(bits, settings.group_size)
    return uniform(NOMINAL_BITS[settings.scheme], settings.group_size, output=f"{output}.weight")


def mixed_bits(job: Job) -> dict[str, Any]:
    """Bits by weight within the budget, their mean, and the divergence that they cause; see ``mixed.choose``.

    The sensitivity that it was chosen by is left in ``job.work`` as a table, and drawn for the stage's run.
    """
    import onnx

    from diminuendo.artifact.onnx_file import MODEL
    from diminuendo.compression.quantization.figure import draw_sensitivity
    from diminuendo.compression.quantization.mixed import choose
    from diminuendo.compression.quantization.post_training import calibration_audio
    from diminuendo.compression.quantization.sensitivity import SENSITIVITY, write_sensitivity

    audio = calibration_audio(job.corpus, job.settings.calibration_utterances, job.seed)
    parent = onnx.load(job.parent / MODEL)
    _, sensitivities, found = choose(parent, job.settings, audio, job.work, name=job.name, lineage=job.lineage)
    write_sensitivity(job.work / SENSITIVITY, sensitivities, found["bits"])
    draw_sensitivity(job.work / "sensitivity.png", sensitivities, found["bits"])
    for name in (SENSITIVITY, "sensitivity.png"):
        job.track.artifact(job.work / name)
    return found
