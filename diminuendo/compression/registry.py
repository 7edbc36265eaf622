"""The techniques: the section of ``params.yaml`` that holds the members, and the package that has the technique.

A package has the same doors as every other, see :mod:`diminuendo.compression.technique`. They are opened when they are
asked for: what one technique imports, another does not wait for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diminuendo.compression.description import Description
    from diminuendo.compression.member import Member
    from diminuendo.compression.technique import Technique, Writing

# A literal: what a technique's stage depends on is found by reading it (``artifact.code``), of other commits as well.
TECHNIQUES = {
    "distill": "diminuendo.compression.distillation",
    "distill_on_labels": "diminuendo.compression.label_distillation",
    "compress_architecture": "diminuendo.compression.architecture",
    "prune": "diminuendo.compression.pruning",
    "prune_on_labels": "diminuendo.compression.label_pruning",
    "quantize": "diminuendo.compression.quantization",
}
FAMILY_SECTIONS = tuple(TECHNIQUES)  # one entry a member


def config_of(section: str) -> type[Member]:
    """What a member of the section says in ``params.yaml``."""
    return import_module(f"{TECHNIQUES[section]}.config").Config


def technique_of(section: str) -> Technique:
    """What is trained."""
    return import_module(f"{TECHNIQUES[section]}.technique")


def writing_of(section: str) -> Writing:
    """What is written, and how earlier weights are read."""
    return import_module(f"{TECHNIQUES[section]}.writing")


def description_of(section: str) -> Description:
    """How it is described to a reader."""
    return import_module(f"{TECHNIQUES[section]}.description").DESCRIPTION
