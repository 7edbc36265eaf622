"""One map of layers for each member, composed from parent to child."""

import pytest

from diminuendo.compression import writing
from diminuendo.compression.architecture.config import CompressArchitectureConfig
from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.pruning.config import PruneConfig
from diminuendo.compression.registry import technique_of, writing_of
from diminuendo.compression.teacher_layers import teacher_layers
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.store import load_model, save_model
from diminuendo.training.schedule import Trained
from tests.factories.jobs import job_of
from tests.factories.models import ToneCorpus, tiny_model

LOSSES = LossConfig(ctc=1.0, hidden=1.0)
PRUNE = {"magnitude": {"sparsity": 0.5}, "losses": {"ctc": 1.0, "hidden": 1.0}}
TWO_LAYERS = ArchitectureConfig(
    layers=2, width=8, heads=2, feed_forward=10, conv_kernel=5, subsampling=2, subsampling_channels=3, dropout=0.0
)


@pytest.fixture
def models(tmp_path):
    """A teacher of six layers, a student of its layers 0, 1, 4, 5, and one whose folder has no map."""
    folder = tmp_path / "models"
    for name, count, layers in (("teacher", 6, None), ("student", 4, (0, 1, 4, 5)), ("older", 4, None)):
        (folder / name).mkdir(parents=True)
        save_model(folder / name, tiny_model(count), ToneCorpus().tokens, layers)
    return folder


def prune(models, parent):
    return job_of(models, "pruned", PruneConfig.model_validate({"from": parent, **PRUNE}))


def followed(schedule, layer_map):
    return Objective(LOSSES, schedule.model, schedule.teacher, layer_map=layer_map).hidden.teacher_layers


@pytest.mark.parametrize(
    ("parent", "kept", "expected"),
    [("teacher", [0, 2, 5], (0, 2, 5)), ("student", [0, 2, 3], (0, 4, 5)), ("older", [0, 2, 3], None)],
)
def test_the_map_of_a_member_is_composed_with_that_of_its_parent(models, parent, kept, expected):
    assert teacher_layers(prune(models, parent), kept) == expected


@pytest.mark.parametrize(("parent", "layers"), [("student", (0, 1, 4, 5)), ("older", (0, 2, 3, 5))])
def test_what_is_pruned_follows_the_layers_of_its_parent_or_evenly_spread_ones(models, parent, layers):
    schedule = technique_of("prune").schedule(prune(models, parent))
    assert followed(schedule, schedule.layer_map) == layers


@pytest.mark.parametrize(("parent", "layers"), [("teacher", (0, 2, 5)), ("student", (0, 4, 5)), ("older", (0, 2, 5))])
def test_the_layers_that_are_left_follow_those_that_they_were(models, parent, layers):
    keys = {"from": parent, "remove_layers": {"count": 1}, "losses": LOSSES}
    settings = CompressArchitectureConfig.model_validate(keys)
    schedule = technique_of("compress_architecture").schedule(job_of(models, "thin", settings))
    kept = [0, 2, 5] if parent == "teacher" else [0, 2, 3]
    layer_map = schedule.phases[0].layer_map({"remove_layers": {"kept": kept}})
    schedule = type(schedule)(tiny_model(3), schedule.phases, schedule.losses, schedule.teacher)
    assert followed(schedule, layer_map) == layers


@pytest.mark.parametrize(("chosen", "expected"), [((1, 2), (1, 4)), (None, (0, 5))])
def test_a_students_student_belongs_to_the_teachers_layers_and_follows_its_own_teachers(models, chosen, expected):
    keys = {"from": "student", "architecture": TWO_LAYERS, "teacher_layers": chosen, "losses": LOSSES}
    job = job_of(models, "small", DistillConfig(**keys))
    schedule = technique_of("distill").schedule(job)
    assert followed(schedule, schedule.layer_map) == (chosen or (0, 3))  # of the student that teaches it
    writing_of("distill").write(job, Trained(schedule.model.eval(), [{"step": 1}], {}), models / "small")
    assert load_model(models / "small").teacher_layers == expected


@pytest.mark.parametrize(("layers", "expected"), [(4, (0, 1, 4, 5)), (3, None)])
def test_layers_of_which_nothing_is_said_are_the_parents_if_they_are_as_many(models, layers, expected):
    job = prune(models, "student")
    writing.write(job, Trained(tiny_model(layers), [{"step": 1}], {}), models / "pruned")
    assert load_model(models / "pruned").teacher_layers == expected
