import pytest
import torch

from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.distillation.copy import record_like
from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.core.errors import UserError
from diminuendo.models.parent_architecture import ParentArchitecture
from diminuendo.models.registry import build
from diminuendo.models.store import load_model, save_model
from tests.factories.jobs import make_member
from tests.factories.models import ToneCorpus, tiny_model
from tests.factories.transformer import KIND
from tests.factories.transformer.module import tiny_transformer
from tests.factories.wav2vec2 import tiny_wav2vec2_record

MODELS = {"conformer": lambda: tiny_model(3), KIND: lambda: tiny_transformer({}, {}, {})}


def sizes(**keys):
    return ParentArchitecture(kind="parent", **keys)


@pytest.mark.parametrize("kind", MODELS)
def test_a_copy_has_the_sizes_that_were_asked_for_and_begins_as_its_parent(kind):
    parent = MODELS[kind]()
    record = record_like(parent, sizes(layers=2, width=6, heads=1, feed_forward=5), None)
    student = build(record)
    structure = student.structure()
    assert record.kind == parent.record.kind and len(structure.layers) == 2 and structure.width == 6
    counts = {group.kind: group.count for group in structure.groups.values()}
    assert counts["heads"] == 1 and counts["feed_forward"] == 5
    assert len(initialise_from_teacher(student, parent)) > len(student.state_dict()) / 2
    output = f"{structure.output}.weight"
    assert torch.equal(student.state_dict()[output], parent.state_dict()[output][:, :6])


def test_what_is_left_out_is_the_parents():
    parent = tiny_model(3)
    assert record_like(parent, sizes(layers=2), [0, 2]) == parent.record.with_layers([0, 2])
    assert record_like(parent, sizes(feed_forward=99 - 89), None).layers[0].feed_forward_1 == 10


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"layers": 4}, "architecture.layers: 4, and the parent has 3"),
        ({"heads": 9}, "architecture.heads: 9, and the parent has at most 2"),
        ({"width": 9}, "architecture.width: 9, and the parent has 8"),
    ],
)
def test_more_than_the_parent_has_is_refused(keys, said):
    with pytest.raises(UserError, match=said):
        record_like(tiny_model(3), sizes(**keys), None)


def test_a_width_that_the_family_cannot_have_is_refused_by_its_key():
    parent = build(tiny_wav2vec2_record())
    width = parent.structure().width - 1
    with pytest.raises(UserError, match=rf"architecture\.width: width {width} must be a multiple"):
        record_like(parent, sizes(width=width), None)


def test_a_copy_must_differ():
    with pytest.raises(ValueError, match="give at least one of layers, width"):
        sizes()


def test_a_student_is_made_as_a_copy_of_its_teacher(tmp_path):
    save_model(tmp_path / "models" / "teacher", tiny_transformer({}, {}, {}), ToneCorpus().tokens)
    settings = DistillConfig(
        **{"from": "teacher", "architecture": {"kind": "parent", "layers": 1, "feed_forward": 6}},
        losses={"ctc": 1.0, "kl": 1.0, "hidden": 0.5},
    )
    make_member("distill", tmp_path / "models", "small", settings, epochs=1)
    stored = load_model(tmp_path / "models" / "small")
    assert stored.model.record.kind == KIND and stored.teacher_layers == (2,)
