"""Remove whole layers, one at a time, each time the one that is missed least.

How much a layer is missed is measured, not guessed from its place: the divergence of the posteriors without it from
those of the whole model, on dev. Layers share work, so it is measured again after every removal (as Sajjad et al. 2023
and Gromov et al. 2024 do for language models).
"""

from __future__ import annotations

import torch
from torch import nn

from diminuendo.compression.architecture.config import RemoveLayersConfig
from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource, spread
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.kl import FrameKL
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.store import parameter_count

MEASURED_SECONDS = 120.0  # of dev: enough to rank layers, and seconds of work


@torch.no_grad()
def remove_layers(
    model: ConformerCTC, corpus: PreparedCorpus, config: RemoveLayersConfig, *, batch_seconds: float, seed: int
) -> tuple[ConformerCTC, dict]:
    """A copy of ``model`` without ``config.count`` layers, in evaluation mode, and the table of what each was worth.

    Raises:
        UserError: the model does not have more layers than that.
    """
    layers = list(model.layers)
    if config.count >= len(layers):
        raise UserError(f"remove_layers.count: {config.count} of {len(layers)} layers; at least one must stay")
    was_training = model.training
    model.eval()
    part = spread(corpus.dev, MEASURED_SECONDS)
    source = BatchSource(corpus, part, batch_seconds, seed)
    heard = [model.frontend(batch.waveform, batch.lengths) for batch in source.epoch()]
    whole = [model.encode(*features)[:2] for features in heard]
    kept, removed, rounds = list(range(len(layers))), [], []
    try:
        for _ in range(config.count):
            missed = {i: _divergence(model, [layers[k] for k in kept if k != i], heard, whole) for i in kept}
            least = min(kept, key=lambda i: missed[i])
            rounds.append({str(i): round(value, 5) for i, value in missed.items()})
            removed.append(least)
            kept.remove(least)
    finally:
        model.layers = nn.ModuleList(layers)
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


def _divergence(model: ConformerCTC, layers: list[nn.Module], heard: list, whole: list) -> float:
    model.layers = nn.ModuleList(layers)
    total = frames = 0.0
    for features, (log_probs, lengths) in zip(heard, whole):
        valid = float(lengths.sum())
        total += valid * float(FrameKL(1.0)(model.encode(*features)[0], log_probs, lengths))
        frames += valid
    return total / frames


def without_layers(model: ConformerCTC, kept: list[int]) -> ConformerCTC:
    """A copy of ``model`` with these layers only, in evaluation mode."""
    place = {str(old): str(new) for new, old in enumerate(kept)}
    state = {}
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        if parts[0] == "layers":
            if parts[1] not in place:
                continue
            parts[1] = place[parts[1]]
        state[".".join(parts)] = tensor.clone()
    layers = tuple(model.record.layers[i] for i in kept)
    smaller = ConformerCTC(model.record.model_copy(update={"layers": layers}))
    smaller.load_state_dict(state)
    return smaller.eval()
