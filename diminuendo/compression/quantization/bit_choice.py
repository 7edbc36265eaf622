"""How every weight of a member is stored: as its scheme says, or in bits of its own."""

from __future__ import annotations

from collections.abc import Collection

from diminuendo.compression.quantization.config import NOMINAL_BITS, QuantizeConfig
from diminuendo.compression.quantization.storage import Choice, by_name, packed_uniform, uniform
from diminuendo.models.knowledge import Knowledge
from diminuendo.models.model import SpeechModel


def choice_of(
    settings: QuantizeConfig, bits: dict[str, int] | None, model: SpeechModel, integers: Collection[str] = ()
) -> Choice:
    """How weights are stored, as they are without training.

    Args:
        bits: by weight, those of ``mixed``.
        integers: weights of products in integers.
    """
    if settings.scheme == "mixed":
        return by_name(bits, settings.group_size, settings.packed, integers)
    nominal = NOMINAL_BITS[settings.scheme]
    if settings.packed:
        return packed_uniform(nominal, settings.group_size, integers)
    # A table that embeds tokens besides is a third of the weights: it is stored as all others are.
    is_table = Knowledge.TOKEN_POSTERIORS in model.head.gives
    return uniform(nominal, settings.group_size, output=None if is_table else f"{model.structure().output}.weight")
