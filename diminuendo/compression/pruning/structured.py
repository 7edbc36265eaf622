"""Remove attention heads, feed-forward channels and convolution channels: narrower layers, not zeros."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diminuendo.compression.pruning.config import KINDS, StructuredConfig
from diminuendo.compression.pruning.importance import Scores
from diminuendo.core.errors import UserError
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.registry import build
from diminuendo.models.structure import Key, Structure, UnitGroup
from diminuendo.models.surgery import (
    State,
    bias_name,
    drop,
    is_factorised,
    keep_inputs,
    keep_outputs,
    keep_rows,
    multiply_out,
    saves,
    unit_rows,
)


def choose(structure: Structure, scores: Scores, config: StructuredConfig) -> dict[Key, Tensor]:
    """Units to keep, in ascending order: of every kind the least important over all layers are left out.

    Scores are changes of one loss, so units of different layers compare as they are. A module may lose all its units;
    of a kind, at least one unit stays.

    Raises:
        UserError: a share of a kind of units that the model does not have.
    """
    kinds = {key: group.kind for key, group in structure.groups.items()}
    for kind in KINDS:
        if getattr(config, kind) and kind not in kinds.values():
            found = ", ".join(sorted(set(kinds.values()))) or "none"
            raise UserError(f"structured.{kind}: the model has no such units; it has: {found}")
    kept = {}
    for kind in sorted({kinds[key] for key in scores}):
        keys = [key for key in sorted(scores) if kinds[key] == kind]
        everything = torch.cat([scores[key] for key in keys])
        order = torch.argsort(everything, stable=True)
        alive = torch.ones(len(everything), dtype=torch.bool)
        share = getattr(config, kind, None) or 0.0  # of units for which the parameters have no share, all stay
        alive[order[: int(share * len(everything) + 1e-9)]] = False
        for key, mask in zip(keys, alive.split([len(scores[key]) for key in keys])):
            kept[key] = mask.nonzero().flatten()
    return kept


@torch.no_grad()
def keep_units(model: SpeechModel, kept: dict[Key, Tensor]) -> SpeechModel:
    """A copy of ``model`` with these units of every group only, in evaluation mode.

    A module without units is left out; its bias, which it adds to every frame, moves to what comes before it.
    """
    groups = model.structure().groups
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    counts = {key: group.count for key, group in groups.items()}
    dense: dict[str, None] = {}
    for key, units in sorted(kept.items()):
        group = groups[key]
        counts[key] = len(units)
        if not len(units):
            _move_bias(state, group, groups, counts)
            drop(state, group.path)
            continue
        rows = unit_rows(units, group.width)
        for writer in group.writers:
            keep_outputs(state, writer, rows)
        for path in group.between:
            keep_rows(state, path, rows)
        for path in group.tables:
            keep_rows(state, path, units)
        keep_inputs(state, group.reader, rows)
        for path in group.products:
            if _densify(state, path):
                dense[path] = None
    record = model.record.keeping_units({key: units.tolist() for key, units in kept.items()})
    smaller = build(record.with_ranks(dense))
    smaller.load_state_dict(state)
    return smaller.eval()


def _densify(state: State, path: str) -> bool:
    """Multiply out a pair of factors that has become larger than its product; whether it had."""
    if not is_factorised(state, path):
        return False
    outputs, rank = state[f"{path}.up.weight"].shape
    if saves(rank, outputs, state[f"{path}.down.weight"].shape[1]):
        return False
    multiply_out(state, path)
    return True


def _move_bias(state: State, group: UnitGroup, groups: Mapping[Key, UnitGroup], counts: Mapping[Key, int]) -> None:
    bias = state[bias_name(state, group.reader)] * group.residual
    site = next(s for s in group.bias_sites if s.group is None or (s.group in groups and counts[s.group]))
    name = site.path if site.path in state else bias_name(state, site.path)  # a table, or what has a bias
    state[name] = state[name] + bias / site.scale


def summary_of(before: SpeechModel, after: SpeechModel) -> dict:
    """Widths of every layer, the modules that are gone, and the parameters before and after."""
    old, new = before.structure(), after.structure()

    def widths(structure: Structure) -> dict[str, list[int]]:
        return {
            width: [_units(structure, (index, module)) for index in range(len(structure.layers))]
            for module, width in structure.modules.items()
        } | _decoder_widths(structure, old)

    return {
        "technique": "structured",
        "widths_before": widths(old),
        "widths": widths(new),
        "removed_modules": [group.path for key, group in old.groups.items() if key not in new.groups],
        "parameters_before": parameter_count(before),
        "parameters": parameter_count(after),
    }


def _decoder_widths(structure: Structure, before: Structure) -> dict[str, list[int]]:
    """By kind of unit; layers of a decoder are numbered after those of the encoder."""
    first = len(before.layers)
    modules = {group.kind: key[1] for key, group in before.groups.items() if key[0] >= first}
    return {
        kind: [_units(structure, (first + index, module)) for index in range(len(before.decoder_layers))]
        for kind, module in modules.items()
    }


def _units(structure: Structure, key: Key) -> int:
    return structure.groups[key].count if key in structure.groups else 0
