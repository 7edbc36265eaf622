"""What the parameters alone show of a loss and a teacher that do not fit, before anything is run."""

import pytest
import yaml

from diminuendo.core.errors import UserError
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.knowledge import Knowledge
from diminuendo.parameters import parse_params
from tests.factories.project import ROOT


@pytest.fixture
def raw():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def test_the_families_that_are_there_can_all_be_taught():
    for path in (ROOT / "params.yaml", *sorted((ROOT / "params").glob("*.yaml"))):
        assert parse_params(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("section", "member", "losses", "needs"),
    [
        ("distill", "student", {"kl": 1.0}, "kl needs frame posteriors of the teacher, which gives text"),
        ("distill", "student", {"hidden": 1.0}, "hidden needs states of the teacher, which gives text"),
        ("compress_architecture", "shallow", {"sequence": 0.5}, "sequence needs tokens of the teacher"),
        ("prune", "slim", {"kl": 1.0}, "kl needs frame posteriors of the teacher"),
        ("quantize", "slim-int4", {"kl": 1.0}, "kl needs frame posteriors of the teacher"),
    ],
)
def test_a_teacher_that_gives_text_alone_cannot_teach_these(raw, monkeypatch, section, member, losses, needs):
    for name in ("distill", "compress_architecture", "prune", "quantize"):  # nobody else is asked
        for other in raw[name].values():
            if "losses" in other:
                other["losses"] = {"ctc": 1.0}
    raw[section][member]["losses"] = {"ctc": 1.0, **losses}
    assert parse_params(raw)
    monkeypatch.setattr(ArchitectureConfig, "gives", Knowledge.TEXT)
    with pytest.raises(UserError, match=f"{section}.{member}.losses: {needs}"):
        parse_params(raw)


def test_a_loss_of_nothing_is_refused(raw):
    raw["prune"]["slim"]["losses"] = {"ctc": 0.0}
    with pytest.raises(UserError, match=r"prune.slim.losses: every weight is 0"):
        parse_params(raw)


def test_a_student_whose_states_follow_a_layer_that_is_not_there_is_refused(raw):
    raw["distill"]["student"] |= {"teacher_layers": [0, 4], "losses": {"ctc": 1.0, "hidden": 1.0}}
    with pytest.raises(UserError, match=r"distill.student.*teacher_layers|distill.student.losses: .*layer"):
        parse_params(raw)
