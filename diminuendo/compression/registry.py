"""The techniques, by the section of ``params.yaml`` that holds their members."""

from __future__ import annotations

FAMILY_SECTIONS = ("distill", "compress_architecture", "prune", "quantize")  # one entry a member
