"""How every weight of a member is stored: as its scheme says, or in bits of its own."""

from __future__ import annotations

from diminuendo.compression.quantization.config import NOMINAL_BITS, QuantizeConfig
from diminuendo.compression.quantization.storage import Choice, by_name, uniform


def choice_of(settings: QuantizeConfig, bits: dict[str, int] | None, output: str) -> Choice:
    """How weights are stored; ``bits`` by weight are those of ``mixed``, ``output`` is the path of the last layer."""
    if settings.scheme == "mixed":
        return by_name(bits, settings.group_size)
    return uniform(NOMINAL_BITS[settings.scheme], settings.group_size, output=f"{output}.weight")
