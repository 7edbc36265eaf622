import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.core.errors import UserError
from diminuendo.data.batches import collate
from diminuendo.data.text import CharacterTokenizer, VocabularyTokenizer
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.losses.term import Vocabularies
from diminuendo.models.ctc import ctc_loss
from diminuendo.models.knowledge import Knowledge
from tests.factories.models import SAMPLE_RATE, tiny_layer, tiny_model


def batch():
    rng = np.random.default_rng(0)
    waveforms = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (3000, 2000)]
    return collate(waveforms, [[2, 3], [4]], SAMPLE_RATE)


def judge(config, student, teacher=None, vocabularies=None):
    spoken = batch()
    features, frames = student.frontend(spoken.waveform, spoken.lengths)
    objective = Objective(config, student, teacher, vocabularies=vocabularies)
    return objective(student.encode(features, frames), features, frames, spoken)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    config = LossConfig(ctc=0.5, intermediate=0.3, kl=2.0, temperature=2.0, hidden=0.7, sequence=0.25)
    loss, terms = judge(config, tiny_model(), tiny_model(3, seed=1))
    assert set(terms) == {"ctc", "intermediate", "kl", "hidden", "sequence"}
    weights = {"ctc": 0.5, "intermediate": 0.3, "kl": 2.0, "hidden": 0.7, "sequence": 0.25}
    assert loss.item() == pytest.approx(sum(weights[k] * v.item() for k, v in terms.items()), rel=1e-5)


def test_terms_of_weight_0_are_not_computed_and_need_no_teacher():
    loss, terms = judge(LossConfig(), tiny_model())
    assert list(terms) == ["ctc"] and loss.item() == terms["ctc"].item()


def test_ctc_is_against_the_text():
    student, spoken = tiny_model(), batch()
    log_probs, lengths = student(spoken.waveform, spoken.lengths)
    expected = ctc_loss(log_probs, lengths, torch.tensor([2, 3, 4]), torch.tensor([2, 1]))
    assert judge(LossConfig(), student)[1]["ctc"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_copy_of_the_teacher_has_nothing_to_learn_from_its_posteriors():
    assert judge(LossConfig(ctc=0, kl=1.0), tiny_model(), tiny_model())[0].item() == pytest.approx(0, abs=1e-5)
    assert judge(LossConfig(ctc=0, kl=1.0), tiny_model(), tiny_model(seed=1))[0].item() > 0.01


@pytest.mark.parametrize(("student", "teacher"), [(2, 4), (4, 2), (6, 4)])
def test_a_teacher_of_another_frame_rate(student, teacher):
    config = LossConfig(kl=1.0, hidden=1.0, sequence=1.0)
    model = tiny_model(subsampling=student)
    loss, _ = judge(config, model, tiny_model((tiny_layer(),), width=12, subsampling=teacher))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_teacher_learns_nothing_and_is_not_in_the_state():
    teacher, student = tiny_model(seed=1).train(), tiny_model()
    objective = Objective(LossConfig(kl=1.0, hidden=1.0), student, teacher)
    objective.train()
    assert not teacher.training
    assert set(objective.state_dict()) == {f"hidden.projections.{i}.{p}" for i in (0, 1) for p in ("weight", "bias")}
    judge(LossConfig(kl=1.0, hidden=1.0), student, teacher)[0].backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_terms_without_a_teacher_are_refused():
    with pytest.raises(UserError, match="kl and hidden above 0, and there is no teacher"):
        Objective(LossConfig(kl=1.0, hidden=1.0), tiny_model(), None)


def test_a_teacher_of_other_tokens_is_refused():
    with pytest.raises(UserError, match=r"different vocabularies \(9 and 6 tokens\)"):
        Objective(LossConfig(kl=1.0), tiny_model(), tiny_model(vocabulary=9))
    with pytest.raises(UserError, match="sequence needs text of the teacher"):  # and nobody says what they stand for
        Objective(LossConfig(sequence=1.0), tiny_model(), tiny_model(vocabulary=9))


LETTERS = CharacterTokenizer(["<blank>", "▁", *"abcd"])
SHUFFLED = CharacterTokenizer(["<blank>", *"dbca", "▁"])
PIECES = VocabularyTokenizer(["<blank>", "▁", "ab", "c", "d", "e"])


def test_as_many_tokens_are_not_the_same_tokens():
    between = {"vocabularies": Vocabularies(LETTERS, PIECES, lowercase=True)}
    with pytest.raises(UserError, match=r"kl compares .* \(6 and 6 tokens\); set kl: 0, and sequence or hidden"):
        Objective(LossConfig(kl=1.0), tiny_model(), tiny_model(seed=1), **between)
    Objective(LossConfig(sequence=1.0, hidden=1.0), tiny_model(), tiny_model(seed=1), **between)


def test_posteriors_of_a_teacher_whose_tokens_stand_in_another_order_are_the_same_posteriors():
    """The teacher is the student, with the rows of its output layer in another order."""
    student, teacher = tiny_model(), tiny_model()
    order = [LETTERS.tokens.index(token) for token in SHUFFLED.tokens]
    with torch.no_grad():
        teacher.out.weight.copy_(student.out.weight[order])
        teacher.out.bias.copy_(student.out.bias[order])
    config, between = LossConfig(ctc=0.0, kl=1.0), Vocabularies(LETTERS, SHUFFLED, lowercase=True)
    assert judge(config, student, teacher)[0].item() > 0.01
    assert judge(config, student, teacher, between)[0].item() == pytest.approx(0, abs=1e-5)


def test_states_of_a_teacher_of_other_tokens_can_be_followed():
    _, terms = judge(LossConfig(hidden=1.0), tiny_model(), tiny_model(vocabulary=9))
    assert terms["hidden"] > 0


def test_a_teacher_that_has_no_states_to_show_is_refused(monkeypatch):
    teacher = tiny_model(seed=1)
    head = dataclasses.replace(teacher.head, gives=Knowledge.TOKENS)
    monkeypatch.setattr(type(teacher), "head", property(lambda _: head))
    with pytest.raises(UserError, match="losses: hidden needs states of the teacher, which gives tokens; set hidden"):
        Objective(LossConfig(hidden=1.0), tiny_model(), teacher)


def followed(student, teacher, **keys):
    """The layers of the teacher that the hidden-state loss depends on, found by changing their states."""
    spoken, config = batch(), LossConfig(ctc=0.0, hidden=1.0)
    features, frames = student.frontend(spoken.waveform, spoken.lengths)
    output = student.encode(features, frames)
    objective = Objective(config, student, teacher, **keys)
    whole = objective(output, features, frames, spoken)[0].item()
    found, encode = [], teacher.encode
    for layer in range(len(teacher.layers)):

        def changed(*given, layer=layer):
            log_probs, lengths, states = encode(*given)
            states[layer] = states[layer].roll(1, dims=2)
            return log_probs, lengths, states

        teacher.encode = changed
        if objective(output, features, frames, spoken)[0].item() != whole:
            found.append(layer)
        teacher.encode = encode
    return found


@pytest.mark.parametrize(("chosen", "layers"), [(None, [0, 2, 5]), ((0, 1, 2), [0, 1, 2]), ((4, 1, 1), [1, 4])])
def test_a_layer_follows_the_layer_that_it_starts_from(chosen, layers):
    student, teacher = tiny_model(3), tiny_model(6, seed=1)
    assert followed(student, teacher, layer_map=chosen) == layers
    initialise_from_teacher(student, teacher, chosen)
    started = {
        i
        for i, layer in enumerate(teacher.layers)
        for ours in student.layers
        if torch.equal(ours.attention.query.weight, layer.attention.query.weight)
    }
    assert sorted(started) == layers


def test_a_map_that_the_teacher_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"losses: teacher_layers: \[0, 4\].*from 0 to 3 for every layer"):
        Objective(LossConfig(hidden=1.0), tiny_model(2), tiny_model(4), layer_map=[0, 4])


ALONE = """
import sys
from pathlib import Path
from diminuendo.losses.config import LossConfig
from diminuendo.training.trainer import train
from tests.factories.models import ToneCorpus, tiny_model, tiny_training

losses = LossConfig(ctc=1.0, intermediate=0.3)
train(tiny_model(), ToneCorpus(), tiny_training(epochs=1), losses, seed=7, work=Path(sys.argv[1]))
print(*sys.modules)
"""


def test_a_teacher_trains_without_anything_of_distillation(tmp_path):
    done = subprocess.run([sys.executable, "-c", ALONE, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"diminuendo.losses.ctc", "diminuendo.losses.objective"} <= loaded
    taught = ("kl", "hidden", "sequence", "teacher", "alignment")
    assert not loaded & {f"diminuendo.losses.{name}" for name in taught}
    assert not [name for name in loaded if name.startswith("diminuendo.compression")]


def test_text_is_asked_for_where_there_is_one_and_the_teacher_everywhere():
    student, teacher, spoken = tiny_model(), tiny_model(seed=1), batch()
    waveforms = [row[:n].numpy() for row, n in zip(spoken.waveform, spoken.lengths)]
    half = collate(waveforms, [None, [4]], SAMPLE_RATE)
    features, frames = student.frontend(half.waveform, half.lengths)
    output = student.encode(features, frames)
    config = LossConfig(kl=1.0, intermediate=0.3)
    _, terms = Objective(config, student, teacher)(output, features, frames, half)
    _, both = Objective(config, student, teacher)(output, features, frames, spoken)
    log_probs, lengths, states = output
    expected = ctc_loss(log_probs[1:], lengths[1:], torch.tensor([4]), torch.tensor([1]))
    assert terms["ctc"].item() == pytest.approx(expected.item(), rel=1e-5)
    middle = student.out(states[0]).log_softmax(-1)
    expected = ctc_loss(middle[1:], lengths[1:], torch.tensor([4]), torch.tensor([1]))
    assert terms["intermediate"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["kl"].item() == both["kl"].item()


def test_a_batch_without_any_text_has_only_the_teacher():
    student, teacher, spoken = tiny_model(), tiny_model(seed=1), batch()
    silent = collate([row.numpy() for row in spoken.waveform], [None, None], SAMPLE_RATE)
    features, frames = student.frontend(silent.waveform, silent.lengths)
    loss, terms = Objective(LossConfig(kl=1.0), student, teacher)(
        student.encode(features, frames), features, frames, silent
    )
    assert terms["ctc"].item() == 0 and loss.item() == terms["kl"].item() > 0
    loss.backward()
