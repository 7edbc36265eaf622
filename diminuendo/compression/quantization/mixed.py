"""Bits for each weight by how much its rounding changes the outputs, within a budget (HAWQ, Dong et al. 2019).

The divergence that all weights cause together is taken for the sum of theirs, measured one at a time. A weight's
choices are those on the convex hull of divergence over bytes. Starting from the fewest bits everywhere, the next bits
go where a byte removes the most divergence: every step of this path is the least divergence for its bytes (Shoham &
Gersho 1988).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from diminuendo.artifact.banks import STORED_NAME
from diminuendo.artifact.checksum import UNSEALED
from diminuendo.artifact.onnx_file import MODEL, read_onnx, replace_metadata
from diminuendo.artifact.outer_products import products_outside
from diminuendo.artifact.outside import bytes_in_files, make_room
from diminuendo.artifact.tensors import is_too_large
from diminuendo.artifact.weight_graph import WeightGraph, shorten_names
from diminuendo.compression.allocation import lower_hull, slope
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.config import BudgetConfig, QuantizeConfig
from diminuendo.compression.quantization.sensitivity import (
    CHOICES,
    PACKED_CHOICES,
    SENSITIVITY,
    Posteriors,
    Sensitivity,
    sweep,
    write_sensitivity,
)
from diminuendo.compression.quantization.storage import Choice, by_name
from diminuendo.compression.quantization.weight_writer import Rounding, by_itself, store_by_choice
from diminuendo.compression.technique import Job
from diminuendo.core.errors import UserError
from diminuendo.core.files import canonical_json

QUANTIZATION_AWARE_RESERVE = 0.002  # share of budget.bytes kept free: training may part blocks of scales
MORE_NODES = 2048  # bytes for the nodes of further numbers of bits that are tried first


@dataclass(frozen=True)
class Step:
    """A weight gets ``more``; ``rate`` is the divergence that each added byte removes."""

    rate: float
    less: Sensitivity
    more: Sensitivity


def _convex(choices: list[Sensitivity]) -> list[Sensitivity]:
    """The lower convex hull of divergence over bytes, from the smallest choice on."""
    better: list[Sensitivity] = []
    for choice in sorted(choices, key=lambda c: (c.bytes, c.kl)):
        if not better or choice.kl < better[-1].kl:
            better.append(choice)
    return lower_hull(better)


class Allocation:
    """Steps from the fewest bits everywhere to the least divergence, the best first."""

    def __init__(self, sensitivities: Iterable[Sensitivity]):
        by_weight: dict[str, list[Sensitivity]] = {}
        for item in sensitivities:
            by_weight.setdefault(item.weight, []).append(item)
        hulls = {name: _convex(choices) for name, choices in by_weight.items()}
        self.start = {name: hull[0] for name, hull in hulls.items()}
        steps = [Step(-slope(a, b), a, b) for hull in hulls.values() for a, b in pairwise(hull)]
        self.steps = sorted(steps, key=lambda step: (-step.rate, step.more.weight, step.more.bits))

    def within(self, limit: float, cost: Callable[[Sensitivity], float]) -> dict[str, Sensitivity]:
        """The least divergence whose summed cost is within the limit; steps that no longer fit are passed over."""
        chosen, spent = dict(self.start), sum(cost(item) for item in self.start.values())
        for step in self.steps:
            added = cost(step.more) - cost(step.less)
            if chosen[step.more.weight] == step.less and spent + added <= limit:
                chosen[step.more.weight] = step.more
                spent += added
        return chosen

    def after(self, count: int) -> dict[str, Sensitivity]:
        """The choices after so many steps."""
        return self.start | {step.more.weight: step.more for step in self.steps[:count]}


def mean_bits(chosen: Iterable[Sensitivity]) -> float:
    chosen = list(chosen)
    return sum(item.parameters * item.bits for item in chosen) / sum(item.parameters for item in chosen)


def mixed_bits(job: Job, rounding: Rounding = by_itself) -> dict[str, Any]:
    """Bits by weight within the budget, their mean, and the divergence that they cause; see :func:`choose`.

    The sensitivity that it was chosen by is left in ``job.work`` as a table, and drawn for the stage's run.
    """
    from diminuendo.compression.quantization.figure import draw_sensitivity

    audio = calibration_audio(job.corpus, job.settings.calibration_utterances, job.seed)
    parent = read_onnx(job.parent / MODEL)
    keys = {"name": job.name, "lineage": job.lineage, "rounding": rounding}
    _, sensitivities, found = choose(parent, job.settings, audio, job.work, **keys)
    write_sensitivity(job.work / SENSITIVITY, sensitivities, found["bits"])
    draw_sensitivity(job.work / "sensitivity.png", sensitivities, found["bits"])
    for name in (SENSITIVITY, "sensitivity.png"):
        job.track.artifact(job.work / name)
    return found


def choose(
    parent: onnx.ModelProto,
    config: QuantizeConfig,
    audio: list[np.ndarray],
    work: Path,
    *,
    name: str,
    lineage: dict,
    rounding: Rounding = by_itself,
) -> tuple[Choice, list[Sensitivity], dict]:
    """Sweep, and choose within ``config.budget``; a sweep that is found in ``work`` goes on.

    Args:
        audio: waveforms float32 ``[N]`` of train, at the model's sample rate.
        name, lineage: of the member, whose file holds them.
        rounding: as the weights will be stored.
    Returns:
        how every weight is stored; the sweep; and ``bits`` by weight, their mean, the sum of the single divergences and
        the divergence of all weights together.
    """
    posteriors = Posteriors(parent, audio, rounding)
    integers = _integers(parent, config)
    size = file_size(parent, name, lineage, config.group_size, config.packed, integers)
    budget = config.budget
    if budget.bytes is not None and config.group_size > 1:  # else the fewest bits need not be the fewest bytes
        _refuse_below(
            budget.bytes, size(dict.fromkeys(posteriors.weights, (PACKED_CHOICES if config.packed else CHOICES)[0]))
        )
    sensitivities = sweep(posteriors, config.group_size, work, config.packed, integers)
    if budget.bytes is not None and config.quantization_aware:
        budget = BudgetConfig(bytes=round(budget.bytes * (1 - QUANTIZATION_AWARE_RESERVE)))
    chosen = choose_bits(sensitivities, budget, posteriors, size, config.group_size, config.packed, integers)
    choice = mixed_choice(parent, config, bits_of(chosen))
    return (
        choice,
        sensitivities,
        {
            "bits": bits_of(chosen),
            "mean_bits": round(mean_bits(chosen.values()), 4),
            "kl_added_up": round(sum(item.kl for item in chosen.values()), 6),
            "kl": round(posteriors.divergence_of(choice), 6),
        },
    )


def mixed_choice(parent: onnx.ModelProto, config: QuantizeConfig, bits: dict[str, int]) -> Choice:
    """How the weights of a parent are stored in the bits that were found for them."""
    return by_name(bits, config.group_size, config.packed, _integers(parent, config))


def _integers(parent: onnx.ModelProto, config: QuantizeConfig) -> Collection[str]:
    return products_outside(WeightGraph(parent)) if config.integer_products else ()


def choose_bits(
    sensitivities: list[Sensitivity],
    budget: BudgetConfig,
    posteriors: Posteriors,
    file_bytes: Callable[[dict[str, int]], int],
    group_size: int | None,
    packed: bool = False,
    integers: Collection[str] = (),
) -> dict[str, Sensitivity]:
    """The choice for every weight with the least divergence within the budget, or the smallest within a limit to it.

    Args:
        file_bytes: size of the file with these bits by weight.
    Raises:
        UserError: the budget is below what the fewest bits take, or no choice has so little divergence.
    """
    path = Allocation(sensitivities)
    if budget.bits is not None:
        limit = budget.bits * sum(item.parameters for item in path.start.values())
        chosen = path.within(limit, lambda item: item.parameters * item.bits)
        if (least := mean_bits(chosen.values())) > budget.bits:
            raise UserError(
                f"budget.bits: {budget.bits:g} cannot be had; with group_size {group_size} the smallest file has "
                f"{least:.2f}: raise group_size"
            )
        return chosen
    if budget.bytes is not None:
        return _within_bytes(path, budget.bytes, file_bytes)
    return _within_divergence(
        path, budget.kl, lambda bits: posteriors.divergence_of(by_name(bits, group_size, packed, integers))
    )


def bits_of(chosen: dict[str, Sensitivity]) -> dict[str, int]:
    return {name: item.bits for name, item in chosen.items()}


def _within_bytes(
    allocation: Allocation, limit: int, file_bytes: Callable[[dict[str, int]], int]
) -> dict[str, Sensitivity]:
    chosen = allocation.start
    size = file_bytes(bits_of(chosen))
    _refuse_below(limit, size)
    # Beside codes and scales there is the graph, and every number of bits in use adds nodes to it: what to leave for
    # it is found by halving.
    fixed = size - sum(item.bytes for item in chosen.values())

    def leaving(graph: int) -> tuple[dict[str, Sensitivity], bool]:
        found = allocation.within(limit - graph, lambda item: item.bytes)
        return found, file_bytes(bits_of(found)) <= limit

    low, more = fixed - MORE_NODES, MORE_NODES
    while not (tried := leaving(fixed + more))[1]:  # ends at the latest with the fewest bits, which fit
        low, more = fixed + more, 2 * more
    best, high = tried[0], fixed + more
    while high - low > MORE_NODES // 64:
        middle = (low + high) // 2
        chosen, fits = leaving(middle)
        if fits:
            high, best = middle, min(best, chosen, key=lambda found: sum(item.kl for item in found.values()))
        else:
            low = middle
    return best


def _refuse_below(limit: int, least: int) -> None:
    if least > limit:
        raise UserError(f"budget.bytes: {limit:,} is too little; in the fewest bits the file takes {least:,} bytes")


def _within_divergence(
    path: Allocation, limit: float, divergence_of: Callable[[dict[str, int]], float]
) -> dict[str, Sensitivity]:
    low, high = 0, len(path.steps)
    if (least := divergence_of(bits_of(path.after(high)))) > limit:
        raise UserError(f"budget.kl: {limit:g} cannot be had; the most bits leave {least:.4g} nats a frame")
    while low < high:  # the fewest steps within the limit, as far as more bits mean less divergence
        middle = (low + high) // 2
        if divergence_of(bits_of(path.after(middle))) <= limit:
            high = middle
        else:
            low = middle + 1
    return path.after(high)


def file_size(
    parent: onnx.ModelProto,
    name: str,
    lineage: dict,
    group_size: int | None,
    packed: bool = False,
    integers: Collection[str] = (),
) -> Callable[[dict], int]:
    """What the member's file will take with given bits by weight."""

    def size(bits: dict[str, int]) -> int:
        model = onnx.ModelProto()
        model.CopyFrom(parent)
        replace_metadata(model, name=name, lineage=canonical_json(lineage), checksum=UNSEALED)
        store_by_choice(model, by_name(bits, group_size, packed, integers), packed)
        shorten_names(model, STORED_NAME)
        if not is_too_large(model):
            replace_metadata(model, data=None)  # what the parent said of a file of its own
        with TemporaryDirectory() as folder:
            make_room(model, Path(folder))
            return bytes_in_files(model)

    return size
