"""Remove whole layers, one at a time, each time the one whose absence changes the output least.

The change is measured, not guessed from the layer's place: the divergence of the posteriors without it from
those of the whole model, on dev. Layers share work, so it is measured again after every removal (as Sajjad et al. 2023
and Gromov et al. 2024 do for language models).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from diminuendo.compression.architecture.config import RemoveLayersConfig
from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource, spread
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.kl import FrameKL
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.registry import build
from diminuendo.models.surgery import renamed

MEASURED_SECONDS = 120.0  # of dev: enough to rank layers, and seconds of work


@torch.no_grad()
def remove_layers(
    model: SpeechModel, corpus: PreparedCorpus, config: RemoveLayersConfig, *, batch_seconds: float, seed: int
) -> tuple[SpeechModel, dict]:
    """A copy of ``model`` without ``config.count`` layers, in evaluation mode, and the table of what was measured.

    Raises:
        UserError: the model does not have more layers than that.
    """
    count = len(model.structure().layers)
    if config.count >= count:
        raise UserError(f"remove_layers.count: {config.count} of {count} layers; at least one must stay")
    was_training = model.training
    model.eval()
    part = spread(corpus.dev, MEASURED_SECONDS)
    source = BatchSource(corpus, part, batch_seconds, seed)
    features = [model.frontend(batch.waveform, batch.lengths) for batch in source.epoch()]
    whole = [model.encode(*given)[:2] for given in features]
    kept, removed, rounds = list(range(count)), [], []
    try:
        for _ in range(config.count):
            missed = {i: _divergence(model, [k for k in kept if k != i], features, whole) for i in kept}
            least = min(kept, key=lambda i: missed[i])
            rounds.append({str(i): round(value, 5) for i, value in missed.items()})
            removed.append(least)
            kept.remove(least)
    finally:
        model.train(was_training)
    smaller = without_layers(model, kept)
    summary = {
        "removed": removed,
        "kept": kept,
        "divergence_without_layer": rounds,  # one table per removal, in nats per frame
        "measured_utterances": len(part),
        "parameters_before": parameter_count(model),
        "parameters": parameter_count(smaller),
    }
    return smaller, summary


def _divergence(model: SpeechModel, layers: list[int], inputs: list, whole: list) -> float:
    """Nats per frame between what these layers alone give for ``inputs`` (features and frames) and what all give."""
    total = frames = 0.0
    with only_layers(model, layers):
        for features, (log_probs, lengths) in zip(inputs, whole):
            valid = float(lengths.sum())
            total += valid * float(FrameKL(1.0)(model.encode(*features)[0], log_probs, lengths))
            frames += valid
    return total / frames


@contextmanager
def only_layers(model: SpeechModel, kept: list[int]) -> Iterator[None]:
    """Within the block the model runs with these layers only."""
    owner, _, name = model.structure().layers[0].rpartition(".")[0].rpartition(".")
    parent = model.get_submodule(owner)
    layers = getattr(parent, name)
    setattr(parent, name, nn.ModuleList([layers[index] for index in kept]))
    try:
        yield
    finally:
        setattr(parent, name, layers)


def without_layers(model: SpeechModel, kept: list[int]) -> SpeechModel:
    """A copy of ``model`` with these layers only, in evaluation mode."""
    whole, layers = model.state_dict(), model.structure().layers
    state = {name: tensor for name, tensor in whole.items() if not name.startswith(tuple(f"{p}." for p in layers))}
    for place, index in zip(layers, kept):
        state |= renamed(whole, layers[index], place)
    smaller = build(model.record.with_layers(kept))
    smaller.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
    return smaller.eval()
