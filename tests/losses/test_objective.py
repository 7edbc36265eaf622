import numpy as np
import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.data.batches import collate
from diminuendo.losses.config import LossConfig
from diminuendo.losses.ctc import CTCLoss
from diminuendo.losses.objective import Objective
from tests.factories.models import SAMPLE_RATE, tiny_layer, tiny_model


def batch():
    rng = np.random.default_rng(0)
    waveforms = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (3000, 2000)]
    return collate(waveforms, [[2, 3], [4]], SAMPLE_RATE)


def judge(config, student, teacher=None):
    spoken = batch()
    features, frames = student.frontend(spoken.waveform, spoken.lengths)
    return Objective(config, student, teacher)(student.encode(features, frames), features, frames, spoken)


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
    expected = CTCLoss()(log_probs, lengths, torch.tensor([2, 3, 4]), torch.tensor([2, 1]))
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
    with pytest.raises(UserError, match="need a teacher"):
        Objective(LossConfig(kl=1.0), tiny_model(), None)


def test_a_teacher_of_other_tokens_is_refused():
    with pytest.raises(UserError, match="different vocabularies"):
        Objective(LossConfig(kl=1.0), tiny_model(), tiny_model(vocabulary=9))


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
    expected = CTCLoss()(log_probs[1:], lengths[1:], torch.tensor([4]), torch.tensor([1]))
    assert terms["ctc"].item() == pytest.approx(expected.item(), rel=1e-5)
    middle = student.out(states[0]).log_softmax(-1)
    expected = CTCLoss()(middle[1:], lengths[1:], torch.tensor([4]), torch.tensor([1]))
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
