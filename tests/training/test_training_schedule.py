import pytest

from diminuendo.losses.config import LossConfig
from diminuendo.training.checkpoint import CHECKPOINT
from diminuendo.training.schedule import Later, Phase, Schedule, joined, last_of, run
from diminuendo.training.step import Hooks
from tests.factories.models import PointsTracker, ToneCorpus, digest_of_weights, tiny_model, tiny_training

LOSSES = LossConfig(ctc=1.0)
ONE = tiny_training(epochs=1)


def halved(model):
    for parameter in model.parameters():
        parameter.data.mul_(0.5)
    return model, {"halved": True}


def two_phases():
    return Schedule(
        tiny_model(), (Phase(ONE, 1, name="round 1"), Phase(ONE, 2, before=halved)), LOSSES, figures={"known": 1}
    )


def test_phases_follow_one_another_and_have_one_history(tmp_path):
    recorder = PointsTracker()
    trained = run(two_phases(), ToneCorpus(), work=tmp_path, tracker=recorder)
    steps = [row["step"] for row in trained.history]
    assert steps == sorted(steps) == recorder.steps
    assert [row["epoch"] for row in trained.history if "dev_wer" in row] == [1, 2]
    assert trained.summary == {"known": 1, "halved": True} and not trained.model.training
    assert (tmp_path / "round-1" / CHECKPOINT).is_file() and (tmp_path / CHECKPOINT).is_file()


@pytest.mark.parametrize("killed_at", [1, 3])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, killed_at):
    whole = run(two_phases(), ToneCorpus(), work=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(two_phases(), ToneCorpus(), work=tmp_path / "cut", tracker=PointsTracker(killed_at))
    resumed = run(two_phases(), ToneCorpus(), work=tmp_path / "cut")
    assert digest_of_weights(resumed.model) == digest_of_weights(whole.model)
    assert (resumed.history, resumed.summary) == (whole.history, whole.summary)


def test_hooks_are_made_for_the_model_that_is_trained(tmp_path):
    seen, made = [], []

    def before(model):
        made.append(tiny_model(1))
        return made[0], {}

    def hooks(model):
        seen.append(model)
        return Hooks(after_step=lambda model, progress: seen.append(model))

    run(Schedule(tiny_model(), (Phase(ONE, 1, before=before, hooks=hooks),), LOSSES), ToneCorpus(), work=tmp_path)
    assert len(seen) > 1 and all(model is made[0] for model in seen)


def test_a_schedule_without_phases_leaves_the_model_as_it_is(tmp_path):
    before = digest_of_weights(tiny_model())
    trained = run(Schedule(tiny_model(), (), LOSSES), ToneCorpus(), work=tmp_path)
    assert digest_of_weights(trained.model) == before and trained.history == []


def test_later_steps_go_on_after_the_earlier():
    first = [{"step": 4, "epoch": 0.5, "loss": 1.0}, {"step": 8, "epoch": 1.0, "dev_wer": 0.5}]
    second = [{"step": 10, "epoch": 1.25, "loss": 2.0}]
    assert joined(first, second)[2] == {"step": 18, "epoch": 2.25, "loss": 2.0}
    assert joined([], second) == second and last_of([]) == (0, 0.0)
    recorder = PointsTracker()
    Later(recorder, 8).metrics({}, step=10)
    assert recorder.steps == [18]


def test_what_a_phase_leaves_of_the_layers_follows_the_layers_that_it_was(tmp_path, monkeypatch):
    seen = []

    def train(model, *_, layer_map, **__):
        seen.append(layer_map)
        return [{"step": 1, "epoch": 1.0}]

    monkeypatch.setattr("diminuendo.training.schedule.train", train)
    phases = (
        Phase(ONE, 1, name="first"),
        Phase(ONE, 1, before=lambda model: (model, {"kept": [0, 2]}), layer_map=lambda figures: figures["kept"]),
    )
    run(Schedule(tiny_model(), phases, LOSSES, layer_map=(1, 3)), ToneCorpus(), work=tmp_path)
    assert seen == [(1, 3), [0, 2]]
