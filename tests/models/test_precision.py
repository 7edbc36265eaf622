"""Mixed precision: rounded products, and everything that is kept or compared in float32."""

import numpy as np
import pytest
import torch

from diminuendo.data.batches import collate
from diminuendo.losses import teacher as teaching_module
from diminuendo.losses.config import LossConfig
from diminuendo.models import kernels, precision
from diminuendo.models.precision import respond_in
from diminuendo.training import step as step_module
from diminuendo.training.trainer import train
from tests.factories.fastconformer import tiny_fastconformer
from tests.factories.models import ToneCorpus, digest_of_weights, speech_batch, tiny_model, tiny_training
from tests.factories.wav2vec2 import tiny_large, tiny_wav2vec2, tiny_wavlm
from tests.factories.whisper import tiny_whisper

FAMILIES = [tiny_model, tiny_fastconformer, tiny_wav2vec2, tiny_large, tiny_wavlm, tiny_whisper]


@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
def test_products_are_rounded_and_what_comes_back_is_not(make, monkeypatch):
    monkeypatch.setattr(kernels, "product", lambda *_: pytest.fail("computed in float32"))
    model = make().train()
    features, frames = model.frontend(*speech_batch(model.record.sample_rate))
    given = collate([np.zeros(8, np.float32)], [None], model.record.sample_rate)  # these models do not look at it
    rounded, lengths, states = respond_in("bfloat16", model, features, frames, given)
    rounded.square().sum().backward()
    monkeypatch.undo()
    exact, expected, _ = respond_in("float32", model, features, frames, given)
    assert torch.equal(lengths, expected) and {t.dtype for t in (rounded, *states)} == {torch.float32}
    assert 1e-5 < (rounded - exact).abs().max() < 0.3
    # Probabilities are normalised in float32: with 8 bits they would add up to something else.
    assert torch.allclose(rounded.exp().sum(-1), torch.ones(rounded.shape[:2]), atol=1e-5)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def trained(work, **keys):
    student, teacher = tiny_model(seed=1), tiny_model(3)
    settings = tiny_training(epochs=2, **keys)
    history = train(student, ToneCorpus(), settings, LossConfig(kl=1.0), seed=3, work=work, teacher=teacher)
    return history[-1]["dev_wer"], digest_of_weights(student)


def test_a_training_in_bfloat16_learns_as_it_does_in_float32_and_gives_the_same_bytes_again(tmp_path, monkeypatch):
    computed = []
    for module in (step_module, teaching_module):
        monkeypatch.setattr(
            module, "respond_in", lambda kind, *given: computed.append(kind) or precision.respond_in(kind, *given)
        )
    found = [trained(tmp_path / str(n), precision="bfloat16") for n in range(2)]
    assert set(computed) == {"bfloat16"} and len(computed) % 2 == 0
    _, exact = trained(tmp_path / "exact")
    assert found[0] == found[1] and found[0][1] != exact
