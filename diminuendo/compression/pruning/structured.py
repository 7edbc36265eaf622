"""Remove attention heads, feed-forward channels and convolution channels: narrower layers, not zeros."""

from __future__ import annotations

import torch
from torch import Tensor

from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.importance import KINDS, Scores
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.record import LayerRecord
from diminuendo.models.store import parameter_count
from diminuendo.models.surgery import (
    READERS,
    WIDTHS,
    WRITERS,
    State,
    bias_name,
    drop,
    is_factorised,
    keep_inputs,
    keep_outputs,
    multiply_out,
    saves,
    unit_rows,
)

HALF = {"feed_forward_1": 0.5, "attention": 1.0, "convolution": 1.0, "feed_forward_2": 0.5}  # weight in the residual


def choose(scores: Scores, config: StructuredConfig) -> dict[tuple[int, str], Tensor]:
    """Units to keep, in ascending order: of every kind the least important over all layers are left out.

    Scores are changes of one loss, so units of different layers compare as they are. A module may lose all its units;
    of a kind, at least one unit stays.
    """
    kept = {}
    for kind in sorted(set(KINDS.values())):
        keys = [key for key in sorted(scores) if KINDS[key[1]] == kind]
        if not keys:
            continue
        everything = torch.cat([scores[key] for key in keys])
        order = torch.argsort(everything, stable=True)
        alive = torch.ones(len(everything), dtype=torch.bool)
        alive[order[: int(getattr(config, kind) * len(everything) + 1e-9)]] = False
        for key, mask in zip(keys, alive.split([len(scores[key]) for key in keys])):
            kept[key] = mask.nonzero().flatten()
    return kept


@torch.no_grad()
def keep_units(model: ConformerCTC, kept: dict[tuple[int, str], Tensor]) -> ConformerCTC:
    """A copy of ``model`` with these units of every (layer, module) only, in evaluation mode.

    A module without units is left out; its bias, which it adds to every frame, moves to the layer before it.
    """
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layers = [record.model_dump() for record in model.record.layers]
    for (index, module), units in sorted(kept.items()):
        layer, path = layers[index], f"layers.{index}.{module}"
        layer[WIDTHS[module]] = len(units)
        if not len(units):
            _absorb_bias(state, layers, index, module)
            drop(state, path)
            layer["ranks"] = {k: rank for k, rank in layer["ranks"].items() if not k.startswith(f"{module}.")}
            continue
        rows = unit_rows(units, layer["head_width"] if module == "attention" else 1)
        for writer in WRITERS[module]:
            keep_outputs(state, f"{path}.{writer}", rows)
        if module == "convolution":
            for name in ("weight", "bias"):
                state[f"{path}.depthwise.{name}"] = state[f"{path}.depthwise.{name}"][rows]
            for name in ("weight", "bias", "running_mean", "running_var"):
                state[f"{path}.batch_norm.{name}"] = state[f"{path}.batch_norm.{name}"][rows]
        keep_inputs(state, f"{path}.{READERS[module]}", rows)
        for name in (*WRITERS[module], READERS[module]):
            _densify(state, layer, path, f"{module}.{name}")
    record = model.record.model_copy(update={"layers": tuple(LayerRecord(**layer) for layer in layers)})
    smaller = ConformerCTC(record)
    smaller.load_state_dict(state)
    return smaller.eval()


def _densify(state: State, layer: dict, path: str, name: str) -> None:
    """A pair of factors that has become larger than its product is multiplied out."""
    at = f"{path}.{name.split('.')[1]}"
    if is_factorised(state, at):
        rank, outputs, inputs = layer["ranks"][name], len(state[f"{at}.up.weight"]), state[f"{at}.down.weight"].shape[1]
        if not saves(rank, outputs, inputs):
            multiply_out(state, at)
            layer["ranks"] = {k: r for k, r in layer["ranks"].items() if k != name}


def _absorb_bias(state: State, layers: list[dict], index: int, module: str) -> None:
    path = f"layers.{index}.{module}.{READERS[module]}"
    bias = state[bias_name(state, path)] * HALF[module]
    modules = list(READERS)
    for earlier in reversed(modules[: modules.index(module)]):
        if layers[index][WIDTHS[earlier]]:
            name = bias_name(state, f"layers.{index}.{earlier}.{READERS[earlier]}")
            state[name] = state[name] + bias / HALF[earlier]
            return
    name = f"layers.{index - 1}.norm.bias" if index else bias_name(state, "subsampling.out")
    state[name] = state[name] + bias


def summary_of(before: ConformerCTC, after: ConformerCTC) -> dict:
    """Widths of every layer, the modules that are gone, and the parameters before and after."""

    def widths(model: ConformerCTC) -> dict[str, list[int]]:
        return {width: [getattr(layer, width) for layer in model.record.layers] for width in WIDTHS.values()}

    return {
        "technique": "structured",
        "widths_before": widths(before),
        "widths": widths(after),
        "removed_modules": [
            f"layers.{index}.{module}"
            for index, (old, new) in enumerate(zip(before.record.layers, after.record.layers, strict=True))
            for module, width in WIDTHS.items()
            if getattr(old, width) and not getattr(new, width)
        ],
        "parameters_before": parameter_count(before),
        "parameters": parameter_count(after),
    }
