"""How much the loss would change without a head, a feed-forward channel or a convolution channel.

First-order Taylor expansion (Molchanov et al. 2019): the change of the loss when a unit's outgoing weights ``w`` become
zero is about ``Σ w · ∂L/∂w``, which equals ``Σ a · ∂L/∂a`` over the unit's activations ``a``. Activations tell it apart
for every utterance, so that few batches give many samples; the score is the mean of its size over utterances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from diminuendo.config.training import TrainingConfig
from diminuendo.data.batches import Batch, BatchSource
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.losses.term import Vocabularies
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Key

Scores = dict[Key, Tensor]  # one score per unit of every group


def measure_importance(
    model: SpeechModel,
    corpus: PreparedCorpus,
    training: TrainingConfig,
    losses: LossConfig,
    *,
    seed: int,
    batches: int,
    teacher: SpeechModel | None = None,
    teacher_tokens: Sequence[str] | None = None,
) -> Scores:
    """Scores over the first ``batches`` training batches, augmented as in training; the model is not changed.

    The loss is that of the fine-tuning without what has to be learned first (``hidden``). CTC is always in it: where
    the model is its own teacher, the divergence between the two is at its minimum and has no gradient.

    Args:
        teacher_tokens: of the teacher's outputs; None: the corpus' own, as those of ``model`` are.
    """
    judged = losses.model_copy(update={"ctc": max(losses.ctc, 1.0), "hidden": 0.0, "intermediate": 0.0})
    objective = Objective(judged, model, teacher, vocabularies=Vocabularies.of(corpus, teacher_tokens))
    was_training = model.training
    model.eval()  # dropout off, and an utterance's gradient free of its neighbours in the batch
    scores: Scores = {}
    handles, utterances = [], 0
    for key, group in model.structure().groups.items():
        scores[key] = torch.zeros(group.count, dtype=torch.float64)
        handles.append(model.get_submodule(group.reader).register_forward_pre_hook(partial(_watch, scores[key])))
    try:
        for batch in _training_batches(model, corpus, training, seed, batches):
            features, frames = model.frontend(batch.waveform, batch.lengths)
            loss, _ = objective(model.respond(features, frames, batch), features, frames, batch)
            # The loss is a mean over the batch: its size must not say how much an utterance counts.
            (loss * len(batch.lengths)).backward()
            utterances += len(batch.lengths)
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad(set_to_none=True)
        model.train(was_training)
    return {key: score / utterances for key, score in scores.items()}


def _watch(score: Tensor, _module: nn.Module, inputs: tuple[Tensor]) -> None:
    (activation,) = inputs  # [B, T, units × width of a unit]
    values = activation.detach()  # a hook that held what it hooks would keep both, and their graph, until a collection

    def add(gradient: Tensor) -> None:
        change = (values * gradient).sum(dim=1)  # [B, units × width]
        score.add_(change.view(len(change), score.numel(), -1).sum(dim=2).double().abs().sum(dim=0))

    if activation.requires_grad:  # not where the model is run as its own teacher
        activation.register_hook(add)


def _training_batches(
    model: SpeechModel, corpus: PreparedCorpus, training: TrainingConfig, seed: int, count: int
) -> Iterator[Batch]:
    longest = model.longest_audio
    source = BatchSource(
        corpus, corpus.train, training.batch_seconds, seed, training.augmentation, longest_audio=longest
    )
    epoch = given = 0
    while given < count:
        for batch in source.epoch(epoch):
            yield batch
            given += 1
            if given == count:
                return
        epoch += 1
