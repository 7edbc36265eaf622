"""Replace linear layers by products of two thinner ones: the truncated singular value decomposition.

The rank-r product nearest to a matrix is its truncated decomposition (Eckart & Young 1936). Nearest is what changes the
layer's outputs least, so the matrix is weighted by the covariance of its inputs on training audio before it is
decomposed (Chen et al. 2021, DRONE), and the bias takes up what the product changes of the mean output. Energy is the
variance of the outputs: the sum of the squares of the singular values a rank keeps, as a share of all of them. (With
the mean in the energy, its one direction looks like all there is to keep.)

Of a model that writes token after token the encoder is factorised so (for Whisper's: Kamahori et al. 2025, LiteASR),
and if it is asked for the decoder too, by what it reads along its own texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from diminuendo.compression.allocation import lower_hull, slope
from diminuendo.compression.architecture.config import LowRankConfig
from diminuendo.compression.architecture.written import writes_text, written_batches
from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch, BatchSource, spread
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.registry import build
from diminuendo.models.surgery import State, bias_name, dense_weight, drop, is_factorised

MEASURED_SECONDS = 120.0  # of train, for the moments: thousands of frames for a few hundred directions
TEXT_SECONDS = 600.0  # where tokens count: there are few of them in a second
# Of outputs, over the middle one's. In a Whisper's stream single channels are up to a hundred times as large as the
# others, and may have nine tenths of the energy: without a limit a few ranks seem to keep all.
MOST_DEVIATION = 3.0
SMALLEST_VARIANCE = 1e-6  # of the largest


@dataclass(frozen=True)
class Spectrum:
    """A linear layer's decomposition ``u × singular_values × v``, and how many weights it has now."""

    u: Tensor  # [outputs, K], the weighting undone, and so of v
    singular_values: Tensor  # [K], descending, of the weighted matrix
    v: Tensor  # [K, inputs]
    mean: Tensor  # [inputs], of the inputs
    cost: int

    @property
    def cost_per_rank(self) -> int:
        return self.u.shape[0] + self.v.shape[1]

    @property
    def largest_rank(self) -> int:
        """The largest rank that has fewer weights than the layer has now; 0 if there is none."""
        return min((self.cost - 1) // self.cost_per_rank, len(self.singular_values))

    def energy(self) -> np.ndarray:
        """Share of the energy that ranks 1, 2, … keep."""
        squares = self.singular_values.square().cumsum(0).numpy()
        return squares / max(squares[-1], np.finfo(float).tiny)


@dataclass
class Moments:
    """Of the inputs of one linear layer, over all frames."""

    count: int = 0
    total: Tensor | float = 0.0  # [inputs]
    squares: Tensor | float = 0.0  # sum of x xᵀ, [inputs, inputs]

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        return self.squares / self.count - torch.outer(self.mean, self.mean)


def factorised_paths(model: SpeechModel, decoder: bool | None = False) -> tuple[str, ...]:
    """Linear layers that are factorised: those of the encoder, and of the decoder if they are asked for.

    Raises:
        UserError: they are, and there is none.
    """
    structure = model.structure()
    if decoder and not structure.decoder_layers:
        raise UserError("low_rank.decoder: the parent has no decoder; leave it out")
    others = () if decoder else tuple(f"{path}." for path in structure.decoder_layers)
    return tuple(path for path in structure.linears if not path.startswith(others))


@torch.no_grad()
def input_moments(
    model: SpeechModel, batches: Iterable[Batch], paths: Sequence[str] | None = None
) -> dict[str, Moments]:
    """Moments of the inputs of linear layers, by path; None: of all that the structure names."""
    moments = {path: Moments() for path in (model.structure().linears if paths is None else paths)}

    def watch(seen: Moments, _module: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].flatten(0, -2).double()
        seen.count += len(x)
        seen.total = seen.total + x.sum(dim=0)
        seen.squares = seen.squares + x.T @ x

    handles = [model.get_submodule(p).register_forward_pre_hook(partial(watch, m)) for p, m in moments.items()]
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            if writes_text(model):
                model.respond(*model.frontend(batch.waveform, batch.lengths), batch)
            else:
                model(batch.waveform, batch.lengths)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return moments


@torch.no_grad()
def spectra_of(
    model: SpeechModel, moments: dict[str, Moments], most_deviation: float | None = None
) -> dict[str, Spectrum]:
    """Decompositions of the linear layers whose moments these are, by path.

    Args:
        most_deviation: an output that deviates more than so many times as the middle one counts as if it did not.
    """
    state = model.state_dict()
    found = {}
    for path in moments:
        variances, axes = torch.linalg.eigh(moments[path].covariance)
        # Directions that the inputs never take would be divided by nothing.
        deviations = variances.clamp(min=max(variances.max().item(), 1e-12) * SMALLEST_VARIANCE).sqrt()
        weighted = dense_weight(state, path).double() @ (axes * deviations)
        weights = _weights_of(weighted.norm(dim=1), most_deviation)[:, None]
        u, s, v = torch.linalg.svd(weights * weighted, full_matrices=False)
        names = [f"{path}.up.weight", f"{path}.down.weight"] if is_factorised(state, path) else [f"{path}.weight"]
        cost = sum(state[name].numel() for name in names)
        found[path] = Spectrum(u / weights, s, v @ (axes / deviations).T, moments[path].mean, cost)
    return found


def _weights_of(deviations: Tensor, most: float | None) -> Tensor:
    """What outputs of these standard deviations ``[outputs]`` are multiplied with before their energy is added up."""
    if most is None:
        return torch.ones_like(deviations)
    limit = most * deviations.median()
    return (limit / deviations.clamp(min=torch.finfo(deviations.dtype).tiny)).clamp(max=1.0)


def ranks_by_energy(spectra: dict[str, Spectrum], energy: float) -> dict[str, int]:
    """The smallest rank that keeps this share of a layer's energy; layers that would not shrink are left out."""
    ranks = {path: 1 + int(np.searchsorted(s.energy(), energy)) for path, s in spectra.items()}
    return {path: rank for path, rank in ranks.items() if rank <= spectra[path].largest_rank}


def ranks_by_budget(spectra: dict[str, Spectrum], budget: float) -> dict[str, int]:
    """Ranks that keep the most energy, multiplied over layers, within a share of the parameters of these layers.

    The product, because layers work in a chain: one layer's surplus cannot compensate another's loss. Every layer
    starts at rank 1; then the step that raises the product's logarithm most per parameter is taken, over and over.
    Steps lie on the upper hull of a layer's curve: one rank at a time, and at last the jump to the layer as it is.

    Raises:
        UserError: even rank 1 everywhere is over the budget.
    """
    rank = {path: min(1, s.largest_rank) for path, s in spectra.items()}  # 0: as it is
    cost = {path: s.cost_per_rank if rank[path] else s.cost for path, s in spectra.items()}
    total = sum(s.cost for s in spectra.values())
    left = int(budget * total) - sum(cost.values())
    if left < 0:
        least = sum(cost.values()) / total
        raise UserError(f"low_rank.budget: {budget:g} is too small: rank 1 everywhere keeps {least:.3f}; give more")
    steps = []  # (gain per parameter, path, rank before, rank after, parameters)
    for path, s in spectra.items():
        if rank[path]:
            steps += _hull_steps(path, s)
    for _, path, before, after, price in sorted(steps, key=lambda step: (-step[0], *step[1:])):
        if rank[path] == before and price <= left:
            rank[path], left = after, left - price
    # What is left is smaller than the next jump of every layer: single ranks below the jumps use it up.
    spare = [path for path in spectra if 0 < rank[path] < spectra[path].largest_rank]
    for path in sorted(spare, key=lambda p: spectra[p].energy()[rank[p] - 1]):
        added = min(spectra[path].largest_rank - rank[path], left // spectra[path].cost_per_rank)
        rank[path], left = rank[path] + added, left - added * spectra[path].cost_per_rank
    return {path: r for path, r in rank.items() if r}


@dataclass(frozen=True)
class _Choice:
    """A layer at a rank, 0 as it is: ``cost`` in parameters, ``loss`` the negative logarithm of its energy."""

    cost: int
    loss: float
    rank: int


def _hull_steps(path: str, s: Spectrum) -> list[tuple[float, str, int, int, int]]:
    """Steps along the hull as (gain per parameter, path, rank before, rank after, parameters)."""
    losses = -np.log(s.energy().clip(np.finfo(float).tiny))
    ranks = [_Choice(r * s.cost_per_rank, float(losses[r - 1]), r) for r in range(1, s.largest_rank + 1)]
    hull = lower_hull([*ranks, _Choice(s.cost, 0.0, 0)])
    return [(-slope(a, b), path, a.rank, b.rank, b.cost - a.cost) for a, b in pairwise(hull)]


def factorise(
    model: SpeechModel, corpus: PreparedCorpus, config: LowRankConfig, *, batch_seconds: float, seed: int
) -> tuple[SpeechModel, dict]:
    """A copy of ``model`` with factorised linear layers, in evaluation mode, and the figures of what was done.

    Raises:
        UserError: the budget cannot be met, no layer would be smaller, or there is no decoder that is asked for.
    """
    paths = factorised_paths(model, config.decoder)
    part = spread(corpus.train, TEXT_SECONDS if config.decoder else MEASURED_SECONDS)
    if is_text := writes_text(model):
        batches = written_batches(model.eval(), corpus, part, reads=bool(config.decoder))
    else:
        batches = BatchSource(corpus, part, batch_seconds, seed).epoch()
    moments = input_moments(model, batches, paths)
    spectra = spectra_of(model, moments, MOST_DEVIATION if is_text else None)
    ranks = ranks_by_energy(spectra, config.energy) if config.energy else ranks_by_budget(spectra, config.budget)
    if not ranks:
        key = "energy" if config.energy else "budget"
        value = config.energy or config.budget
        raise UserError(f"low_rank.{key}: {value:g} makes no layer smaller; give less")
    smaller = with_ranks(model, spectra, ranks)
    kept = sum(ranks[path] * s.cost_per_rank if path in ranks else s.cost for path, s in spectra.items())
    summary = {
        "ranks": ranks,
        "energy": {path: round(float(spectra[path].energy()[rank - 1]), 4) for path, rank in ranks.items()},
        "measured_utterances": len(part),
        "share_of_linear_parameters": round(kept / sum(s.cost for s in spectra.values()), 4),
        "parameters_before": parameter_count(model),
        "parameters": parameter_count(smaller),
    }
    return smaller, summary


def with_ranks(model: SpeechModel, spectra: dict[str, Spectrum], ranks: dict[str, int]) -> SpeechModel:
    """A copy of ``model`` whose linear layers at these paths are factorised to these ranks."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for path, rank in ranks.items():
        _factors(state, path, spectra[path], rank)
    smaller = build(model.record.with_ranks(ranks))
    smaller.load_state_dict(state)
    return smaller.eval()


def _factors(state: State, path: str, s: Spectrum, rank: int) -> None:
    weight, bias = dense_weight(state, path).double(), state[bias_name(state, path)]
    drop(state, path)
    up, down = s.u[:, :rank] * s.singular_values[:rank], s.v[:rank]
    balance = (down.norm() / up.norm().clamp(min=1e-12)).sqrt()  # factors of one size learn at one rate
    state[f"{path}.up.weight"] = (up * balance).float()
    state[f"{path}.down.weight"] = (down / balance).float()
    state[f"{path}.up.bias"] = (bias + (weight - up @ down) @ s.mean).float()
