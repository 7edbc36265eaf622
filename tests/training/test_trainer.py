import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.losses.config import LossConfig
from diminuendo.metrics.unit import WORDS
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.training.step import Hooks, learning_rate_at, optimiser_for
from diminuendo.training.trainer import train
from tests.factories.models import (
    NO_AUGMENTATION,
    ToneCorpus,
    digest_of_weights,
    tiny_model,
    tiny_record,
    tiny_training,
)

CTC = LossConfig()
TAUGHT = LossConfig(ctc=1.0, kl=0.5, hidden=0.5)


def fresh(**keys):
    return tiny_model(2, dropout=0.1, **keys).train()


def run(model, work, losses=CTC, seed=7, corpus=None, hooks=None, tracker=None, keep="best", teacher=None, **training):
    teacher = teacher or (tiny_model(3, seed=9) if losses.needs_teacher else None)
    return train(
        model,
        corpus or ToneCorpus(),
        tiny_training(**{"epochs": 3, **training}),
        losses,
        seed=seed,
        work=Path(work),
        teacher=teacher,
        tracker=tracker,
        hooks=hooks or Hooks(),
        keep=keep,
    )


def trained(work, **keys):
    model = fresh()
    history = run(model, work, **keys)
    return digest_of_weights(model), history


class Killed(BaseException):
    """Stands for a signal: nothing in the loop may catch it."""


def killed_after(steps):
    """Die between the update of the weights and everything that follows it."""
    seen = []

    def die(model, progress):
        seen.append(progress)
        if len(seen) == steps:
            raise Killed

    return Hooks(after_step=die)


def test_the_same_run_twice_gives_the_same_bytes(tmp_path):
    first, history = trained(tmp_path / "a", losses=TAUGHT)
    second, again = trained(tmp_path / "b", losses=TAUGHT)
    assert first == second and history == again
    assert trained(tmp_path / "c", losses=TAUGHT, seed=8)[0] != first


# Three steps in an epoch, a checkpoint at every second step: killed before any checkpoint, right after one, between
# two, in the last step of an epoch, in the first of the next, in the last of all.
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6, 7, 9])
def test_a_killed_run_ends_with_the_bytes_of_one_left_alone(tmp_path, steps):
    whole, history = trained(tmp_path / "whole", losses=TAUGHT)
    with pytest.raises(Killed):
        run(fresh(), tmp_path / "cut", losses=TAUGHT, hooks=killed_after(steps))
    resumed, rows = trained(tmp_path / "cut", losses=TAUGHT)
    assert resumed == whole
    assert rows == history


def test_a_run_killed_while_it_is_scored_on_dev_resumes(tmp_path):
    whole, history = trained(tmp_path / "whole")
    corpus = ToneCorpus()
    scored = []

    class Tokenizer:
        encode = corpus.tokenizer.encode

        def decode(self, ids):
            scored.append(ids)
            if len(scored) == 8:  # three hypotheses and three references each time
                raise Killed
            return ToneCorpus().tokenizer.decode(ids)

    corpus.tokenizer = Tokenizer()
    with pytest.raises(Killed):
        run(fresh(), tmp_path / "cut", corpus=corpus)
    resumed, rows = trained(tmp_path / "cut")
    assert resumed == whole and rows == history


def test_a_run_killed_many_times_still_ends_with_the_same_bytes(tmp_path):
    whole, _ = trained(tmp_path / "whole", checkpoint_every=1)
    for _ in range(4):
        with pytest.raises(Killed):
            run(fresh(), tmp_path / "cut", checkpoint_every=1, hooks=killed_after(3))
    assert trained(tmp_path / "cut", checkpoint_every=1)[0] == whole


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, history = trained(tmp_path)
    steps = []
    model = fresh()
    rows = run(model, tmp_path, hooks=Hooks(before_step=lambda model, progress: steps.append(progress)))
    assert not steps and rows == history and digest_of_weights(model) == first


def test_a_tiny_corpus_is_learned_by_heart(tmp_path):
    torch.manual_seed(0)
    model = ConformerCTC(tiny_record(1, width=16))
    history = run(
        model, tmp_path, epochs=30, learning_rate=0.01, dev_every=30, augmentation=NO_AUGMENTATION, checkpoint_every=999
    )
    losses = [row["loss"] for row in history if "loss" in row]
    assert losses[-1] < losses[0] / 20
    assert history[-1]["dev_wer"] == 0
    assert not model.training


def test_a_student_follows_its_teacher(tmp_path):
    """A copy that forgot how to speak learns it again from posteriors alone."""
    teacher, student = tiny_model(seed=9), tiny_model(seed=9)
    teacher.out.weight.data.mul_(4)
    student.out.weight.data.zero_()
    losses = LossConfig(ctc=0.0, kl=1.0)
    history = run(student, tmp_path, losses=losses, teacher=teacher, epochs=10, learning_rate=0.03, dev_every=10)
    divergences = [row["loss_kl"] for row in history if "loss_kl" in row]
    assert divergences[-1] < 0.5 * divergences[0]


def test_history_and_tracker_have_the_same_curves(tmp_path):
    points = []

    class Tracker:
        def metrics(self, values, step):
            points.append((step, values))

    history = run(fresh(), tmp_path, losses=TAUGHT, tracker=Tracker(), epochs=7, dev_every=3)
    logged = [row for row in history if "loss" in row]
    assert [row["step"] for row in logged] == [10, 20, 21]
    assert [row["epoch"] for row in logged] == [3.333, 6.667, 7.0]
    assert [(r["step"], r["epoch"]) for r in history if "dev_wer" in r] == [(9, 3.0), (18, 6.0), (21, 7.0)]
    assert [(row["step"], {k: v for k, v in row.items() if k not in ("step", "epoch")}) for row in history] == points
    assert {"learning_rate", "loss", "loss_ctc", "loss_kl", "loss_hidden", "gradient_norm"} < set(logged[0])


def scores(*values):
    """Dev error rates to be given out one after the other, and where the averaged weights are noted."""
    left, weights = list(values), []

    def score(model, batches, tokenizer):
        weights.append(digest_of_weights(model))
        return left.pop(0), WORDS

    return score, weights


@pytest.mark.parametrize(
    ("keep", "values", "kept"),
    [
        ("best", (0.5, 0.2, 0.4), 1),
        ("best", (0.5, 0.2, 0.2), 2),
        ("best", (1.5, 2.0, 3.0), 0),
        ("last", (0.1, 0.2, 0.4), 2),
    ],
)
def test_which_weights_are_kept(tmp_path, monkeypatch, keep, values, kept):
    score, weights = scores(*values)
    monkeypatch.setattr("diminuendo.training.loop.dev_error_rate", score)
    model = fresh()
    run(model, tmp_path, keep=keep)
    assert digest_of_weights(model) == weights[kept]
    assert len(set(weights)) == 3


def test_hooks_are_called_around_every_step_and_see_the_average(tmp_path):
    calls = []
    hooks = Hooks(
        before_step=lambda model, progress: calls.append(("before", round(progress, 3))),
        after_step=lambda model, progress: calls.append(("after", round(progress, 3))),
        after_average=lambda model: calls.append(("average", model.training)),
    )
    run(fresh(), tmp_path, hooks=hooks, epochs=1)
    third = [("before", 0.0), ("after", 0.333), ("average", False)]
    assert calls[:3] == third and calls[-3:] == [("before", 0.667), ("after", 1.0), ("average", False)]


def test_what_is_kept_is_what_the_hook_left_of_the_average(tmp_path):
    def clear(model):
        with torch.no_grad():
            model.out.weight.zero_()

    model = fresh()
    run(model, tmp_path, hooks=Hooks(after_average=clear))
    assert (model.out.weight == 0).all()


def test_the_learning_rate_rises_linearly_and_falls_along_a_cosine():
    config = tiny_training(learning_rate=1.0, final_learning_rate=0.1, warmup_fraction=0.1)
    rates = [learning_rate_at(step, 100, config) for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1.0 and rates[55] == pytest.approx(0.55) and rates[100] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[32] == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * 22 / 90)))
    assert all(math.isfinite(learning_rate_at(step, 1, config)) for step in (0, 1))


def test_vectors_are_not_decayed():
    model = tiny_model()
    decayed, others = optimiser_for(model, torch.nn.Module(), tiny_training(weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3 and others["weight_decay"] == 0
    assert all(p.dim() > 1 for p in decayed["params"]) and all(p.dim() == 1 for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


def test_a_loss_that_is_not_finite_is_told_with_its_remedy(tmp_path):
    model = fresh()
    with torch.no_grad():
        model.out.weight.fill_(math.inf)
    with pytest.raises(UserError, match=r"step 0: the loss is .*lower training\.learning_rate"):
        run(model, tmp_path)


def test_utterances_too_short_for_their_text_do_not_stop_training(tmp_path):
    class Hasty(ToneCorpus):
        def audio(self, utterance):
            return super().audio(utterance)[:150]  # two frames for up to seven letters

    model = fresh()
    history = run(model, tmp_path, corpus=Hasty(), epochs=2)
    assert all(math.isfinite(row["loss"]) for row in history if "loss" in row)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_unlabelled_audio_is_heard_where_it_is_asked_for(tmp_path):
    corpus, settings = ToneCorpus(), tiny_training(epochs=1)
    corpus.unlabelled = [replace(utterance, id=f"more-{i}") for i, utterance in enumerate(corpus.train)]

    def steps(name, **keys):
        losses = LossConfig(kl=1.0)
        history = train(
            tiny_model(),
            corpus,
            settings.model_copy(update=keys),
            losses,
            seed=7,
            work=tmp_path / name,
            teacher=tiny_model(seed=1),
        )
        return max(row["step"] for row in history)

    assert steps("both", unlabelled=True) > 1.5 * steps("train")
    corpus.unlabelled = []
    with pytest.raises(UserError, match=r"the corpus has no unlabelled audio; put unlabelled\.jsonl"):
        steps("none", unlabelled=True)
