"""The techniques: the section of ``params.yaml`` that holds their members, and the package of each."""

from __future__ import annotations

TECHNIQUES = {
    "distill": "diminuendo.compression.distillation",
    "compress_architecture": "diminuendo.compression.architecture",
    "prune": "diminuendo.compression.pruning",
    "quantize": "diminuendo.compression.quantization",
}
FAMILY_SECTIONS = tuple(TECHNIQUES)  # one entry a member
