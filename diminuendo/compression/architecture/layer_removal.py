"""Remove whole layers, one at a time, each time the one whose absence changes the output least.

The change is measured, not guessed from the layer's place: the divergence of the posteriors without it from
those of the whole model, on dev. Layers share work, so it is measured again after every removal (as Sajjad et al. 2023
and Gromov et al. 2024 do for language models).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diminuendo.compression.architecture.config import RemoveLayersConfig
from diminuendo.compression.architecture.written import writes_text, written_batches
from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch, BatchSource, spread
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.kl import FrameKL
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.record import ModelRecord
from diminuendo.models.registry import build
from diminuendo.models.surgery import renamed

MEASURED_SECONDS = 120.0  # of dev: enough to rank layers, and seconds of work


@dataclass(frozen=True)
class _Given:
    """What models are compared by: batches with their features and frames, and what the whole model says of each."""

    batches: list[tuple[Tensor, Tensor, Batch]]
    whole: list[tuple[Tensor, Tensor]]

    def divergence(self, model: SpeechModel) -> float:
        """Nats per row (frame, or token of a text) between what ``model`` and the whole one give."""
        total = rows = 0.0
        for given, (log_probs, lengths) in zip(self.batches, self.whole):
            valid = float(lengths.sum())
            total += valid * float(FrameKL(1.0)(model.respond(*given)[0], log_probs, lengths))
            rows += valid
        return total / rows


@torch.no_grad()
def remove_layers(
    model: SpeechModel, corpus: PreparedCorpus, config: RemoveLayersConfig, *, batch_seconds: float, seed: int
) -> tuple[SpeechModel, dict]:
    """A copy of ``model`` with fewer layers, in evaluation mode, and the table of what was measured.

    Layers of the encoder go first, those of the decoder after them. What writes token after token is measured along
    what it writes itself of dev, which is never too long for it.

    Raises:
        UserError: the model does not have more layers than that, or no decoder.
    """
    structure = model.structure()
    for key, paths in (("count", structure.layers), ("decoder_count", structure.decoder_layers)):
        asked = getattr(config, key)
        if asked and not paths:
            raise UserError(f"remove_layers.{key}: {asked}, and the model has no decoder; leave it out")
        if asked and asked >= len(paths):
            raise UserError(f"remove_layers.{key}: {asked} of {len(paths)} layers; at least one must stay")
    was_training = model.training
    model.eval()
    part = spread(corpus.dev, MEASURED_SECONDS)
    if writes_text(model):
        heard = written_batches(model, corpus, part, reads=True)
    else:
        heard = BatchSource(corpus, part, batch_seconds, seed).epoch()
    batches = [(*model.frontend(batch.waveform, batch.lengths), batch) for batch in heard]
    given = _Given(batches, [model.respond(*one)[:2] for one in batches])
    try:
        kept, summary = _removed(model, structure.layers, config.count or 0, given)
    finally:
        model.train(was_training)
    smaller = without_layers(model, kept)
    if config.decoder_count:
        left, summary["decoder"] = _removed(smaller, structure.decoder_layers, config.decoder_count, given)
        smaller = without_decoder_layers(smaller, left)
    summary |= {
        "measured_utterances": sum(len(batch.lengths) for _, _, batch in batches),
        "parameters_before": parameter_count(model),
        "parameters": parameter_count(smaller),
    }
    return smaller, summary


def _removed(model: SpeechModel, paths: Sequence[str], count: int, given: _Given) -> tuple[list[int], dict]:
    """Which of the layers at ``paths`` are kept, and what was measured meanwhile."""
    kept, removed, rounds = list(range(len(paths))), [], []
    for _ in range(count):
        missed = {}
        for index in kept:
            with only_layers(model, [k for k in kept if k != index], paths):
                missed[index] = given.divergence(model)
        least = min(kept, key=lambda i: missed[i])
        rounds.append({str(i): round(value, 5) for i, value in missed.items()})
        removed.append(least)
        kept.remove(least)
    # One table per removal, in nats per frame or token.
    return kept, {"removed": removed, "kept": list(kept), "divergence_without_layer": rounds}


@contextmanager
def only_layers(model: SpeechModel, kept: list[int], paths: Sequence[str] | None = None) -> Iterator[None]:
    """Within the block the model runs with these layers only, of those at ``paths``; None: of the encoder."""
    paths = model.structure().layers if paths is None else paths
    owner, _, name = paths[0].rpartition(".")[0].rpartition(".")
    parent = model.get_submodule(owner)
    layers = getattr(parent, name)
    setattr(parent, name, nn.ModuleList([layers[index] for index in kept]))
    try:
        yield
    finally:
        setattr(parent, name, layers)


def without_layers(model: SpeechModel, kept: list[int]) -> SpeechModel:
    """A copy of ``model`` with these layers of the encoder only, in evaluation mode."""
    return _rebuilt(model, model.structure().layers, kept, model.record.with_layers(kept))


def without_decoder_layers(model: SpeechModel, kept: list[int]) -> SpeechModel:
    """A copy of ``model`` with these layers of the decoder only, in evaluation mode."""
    return _rebuilt(model, model.structure().decoder_layers, kept, model.record.with_decoder_layers(kept))


def _rebuilt(model: SpeechModel, layers: Sequence[str], kept: list[int], record: ModelRecord) -> SpeechModel:
    whole = model.state_dict()
    state = {name: tensor for name, tensor in whole.items() if not name.startswith(tuple(f"{p}." for p in layers))}
    for place, index in zip(layers, kept):
        state |= renamed(whole, layers[index], place)
    smaller = build(record)
    smaller.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
    return smaller.eval()
