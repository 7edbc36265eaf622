"""How quantization is described to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.compression.description import Description
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.core.sizes import size

SCHEMES = {
    "fp16": "fp16",
    "int8_dynamic": "int8 dynamic",
    "int8_static": "int8 static",
    "int8_weight": "int8 weights",
    "int4_weight": "int4 weights",
}


def in_words(settings: QuantizeConfig) -> str:
    if settings.budget is None:
        text = SCHEMES[settings.scheme]
    elif settings.budget.bits is not None:
        text = f"mixed {settings.budget.bits:g} bits"
    elif settings.budget.bytes is not None:
        text = f"mixed bits, {size(settings.budget.bytes)}"
    else:
        text = f"mixed bits, {settings.budget.kl:g} nats"
    text += ", products in integers" if settings.integer_products else ""
    text += ", convolutions in integers" if settings.integer_convolutions else ""
    text += ", error feedback" if settings.error_feedback else ""
    return text + (" (quantization-aware)" if settings.quantization_aware else "")


def in_record(parameters: Mapping[str, Any]) -> str:
    scheme = parameters.get("scheme", "")
    if parameters.get("integer_convolutions"):
        scheme += ", convolutions in integers"
    if parameters.get("error_feedback"):
        scheme += ", error feedback"
    return f"{scheme}, quantization-aware" if _trains(parameters) else scheme


def acting(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    if _trains(parameters):
        return parameters
    return {key: value for key, value in parameters.items() if key not in ("training", "losses")}


def _trains(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters.get("quantization_aware", parameters.get("aware")))  # the latter in older records


DESCRIPTION = Description("Quantization of", "quantized", "#cc79a7", "D", in_words, in_record, acting)
