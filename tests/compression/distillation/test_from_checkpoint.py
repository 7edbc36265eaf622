"""Students that begin with a smaller checkpoint: its weights under a new head, and what the parameters may say."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from diminuendo.artifact.history import read_history
from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.distillation.description import in_words
from diminuendo.compression.distillation.technique import schedule
from diminuendo.core.errors import UserError
from diminuendo.export.trained import deliver
from diminuendo.models.store import load_model
from diminuendo.pretrained.checkpoint import opened
from tests.factories.checkpoint import write_checkpoint
from tests.factories.jobs import job_of, make_member
from tests.factories.models import NO_AUGMENTATION, SAMPLE_RATE, ToneCorpus, tiny_model
from tests.factories.transformer import KIND

ARCHITECTURE = {"kind": "parent", "layers": 1}


@pytest.fixture
def checkpoint(tmp_path):
    """An encoder of one layer, with a head for other tokens."""
    opened.cache_clear()
    yield write_checkpoint(tmp_path / "checkpoints/small", num_hidden_layers=1, sample_rate=SAMPLE_RATE)
    opened.cache_clear()


@pytest.fixture
def models(tmp_path):
    """A folder with a teacher of another kind."""
    folder = tmp_path / "models"
    (folder / "teacher").mkdir(parents=True)
    torch.manual_seed(0)
    tokens = ToneCorpus().tokens
    deliver(folder / "teacher", tiny_model(), name="teacher", tokens=tokens, lineage={}, history=[], summary={})
    return folder


def settings_of(**keys) -> DistillConfig:
    return DistillConfig.model_validate({"from": "teacher", **keys})


def test_it_begins_with_the_weights_of_the_checkpoint_and_a_new_head(checkpoint, models):
    settings = settings_of(pretrained={"path": str(checkpoint)}, losses={"ctc": 0.5, "kl": 1.0})
    job = job_of(models, "small", settings)
    planned = schedule(job)
    student, begun = planned.model, opened(settings.pretrained).model(1, None).state_dict()
    assert student.record.kind == KIND != planned.teacher.record.kind
    assert student.record.vocabulary == len(job.corpus.tokens)
    head = {"to_tokens.weight", "to_tokens.bias"}
    assert all(torch.equal(tensor, begun[name]) for name, tensor in student.state_dict().items() if name not in head)
    assert planned.figures == {"initialised_tensors": len(begun) - 2, "tensors": len(begun)}
    again = schedule(job_of(models, "small", settings)).model.state_dict()
    assert all(torch.equal(again[name], student.state_dict()[name]) for name in head)  # the seed draws the new head


def test_it_learns_from_a_teacher_of_another_kind_and_can_be_loaded_again(checkpoint, models):
    settings = settings_of(pretrained={"path": str(checkpoint)}, losses={"ctc": 1.0, "kl": 0.1})
    keys = {"epochs": 40, "dev_every": 40, "learning_rate": 0.01, "augmentation": NO_AUGMENTATION}
    make_member("distill", models, "small", settings, **keys)
    loaded = load_model(models / "small")
    assert loaded.model.record.kind == KIND and tuple(loaded.tokens) == tuple(ToneCorpus().tokens)
    assert read_history(models / "small/history.csv")[-1]["dev_wer"] < 0.5


def test_audio_of_another_rate_is_refused(models, tmp_path):
    other = write_checkpoint(tmp_path / "other", sample_rate=2 * SAMPLE_RATE)
    with pytest.raises(UserError, match=rf"data.sample_rate: {SAMPLE_RATE} Hz, and other hears {2 * SAMPLE_RATE} Hz"):
        schedule(job_of(models, "small", settings_of(pretrained={"path": str(other)})))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "give one of architecture and pretrained .*, found neither"),
        ({"architecture": ARCHITECTURE, "pretrained": {"path": "x"}}, "architecture and pretrained .*, found both"),
        ({"pretrained": {"path": "x"}, "initialise": "random"}, "initialise: random, and pretrained is what it begins"),
        ({"architecture": ARCHITECTURE, "initialise": "checkpoint"}, "checkpoint; that goes with pretrained, so give"),
        ({"pretrained": {"path": "x"}, "teacher_layers": [1, 0]}, "follows layers by losses.hidden alone"),
        ({"pretrained": "checkpoints/small"}, "expected {path: FOLDER}, .*, found 'checkpoints/small'"),
        ({"pretrained": {"hub": "a/b"}}, "expected the commit of a/b"),
    ],
)
def test_one_beginning_is_given(keys, expected):
    with pytest.raises(ValidationError, match=expected):
        settings_of(**keys)


def test_the_record_of_its_settings_is_read_as_it_was_written():
    settings = settings_of(pretrained={"path": "checkpoints/small"}, losses={"ctc": 0.5, "kl": 1.0})
    dumped = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert dumped["initialise"] == "checkpoint" and settings_of(**dumped) == settings
    assert in_words(settings) == "distil into small"
    assert in_words(settings_of(pretrained={"path": "a/small"}, losses={"ctc": 1.0, "kl": 0.0})) == "train small"


def test_settings_that_use_no_checkpoint_do_not_depend_on_how_one_is_read(checkpoint):
    assert settings_of(architecture=ARCHITECTURE).unused_code == ("diminuendo.pretrained",)
    assert settings_of(pretrained={"path": "x"}).unused_code == ()
