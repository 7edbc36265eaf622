"""The door for checkpoints of the Transformer, whose format is made up: names as Hugging Face's, weights as ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from tests.factories.transformer.record import BlockRecord, TransformerRecord

MODEL_TYPES = ("tiny_transformer",)
PREFIX, HEAD = "transformer.", "lm_head."


def has_ctc_head(config: dict[str, Any]) -> bool:
    return any(name.endswith("ForCTC") for name in config.get("architectures") or [])


def record_of(config: dict[str, Any], preprocessor: dict[str, Any], vocabulary: int) -> TransformerRecord:
    if config.get("hidden_act", "relu") != "relu":
        raise UserError(f"hidden_act {config['hidden_act']!r} is not supported; expected 'relu'")
    rate, heads = preprocessor["sampling_rate"], config["num_attention_heads"]
    frontend = FrontendConfig(
        mels=preprocessor["feature_size"],
        window_seconds=preprocessor["win_length"] / rate,
        hop_seconds=preprocessor["hop_length"] / rate,
        low_hz=20.0,
        high_hz=0.475 * rate,
    )
    block = BlockRecord(heads=heads, head_width=config["hidden_size"] // heads, inner=config["intermediate_size"])
    return TransformerRecord(
        sample_rate=rate,
        frontend=frontend,
        vocabulary=vocabulary,
        width=config["hidden_size"],
        stride=config["stride"],
        blocks=(block,) * config["num_hidden_layers"],
    )


def state_of(
    tensors: Mapping[str, Tensor], config: dict[str, Any], record: TransformerRecord, order: Sequence[int] | None
) -> dict[str, Tensor]:
    found = {}
    for name in tensors:
        if not name.startswith(HEAD):
            found[name.removeprefix(PREFIX)] = tensors[name].float()
    for name in ("weight", "bias") if order is not None else ():
        tensor = tensors[f"{HEAD}{name}"].float()
        if len(tensor) != len(order):
            raise UserError(f"{HEAD}{name} has {len(tensor)} rows, and config.json says {len(order)} (vocab_size)")
        found[f"to_tokens.{name}"] = tensor[list(order)]
    return found
