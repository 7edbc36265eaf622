"""What MLflow is told that a stage reads."""

from types import SimpleNamespace

from diminuendo.artifact.code import Scope
from diminuendo.artifact.lineage import digest_of_checkpoint
from stages.finish import inputs_of

FACTS = {"source": "small", "licence": "mit", "files": {"config.json": "a" * 64, "model.safetensors": "b" * 64}}


def stage(name, checkpoint=None):
    scope = Scope(name, ("diminuendo.unused",))
    return SimpleNamespace(stage=name, code="c", scope=scope, parents={}, corpus_digest="d", checkpoint=checkpoint)


def test_a_checkpoint_is_an_input_of_the_stages_that_read_it():
    digest = digest_of_checkpoint(FACTS)
    covers = {"code.covers": '{"kinds": null, "stage": "prepare", "without": ["diminuendo.unused"]}'}
    assert inputs_of(stage("prepare", FACTS)) == {"code": "c", **covers, "input.checkpoint": digest}
    assert inputs_of(stage("train_teacher", FACTS))["input.checkpoint"] == digest
    assert set(inputs_of(stage("train_teacher"))) == {"code", "code.covers", "input.corpus"}


def test_a_checkpoint_is_what_its_files_are():
    assert digest_of_checkpoint(FACTS) == digest_of_checkpoint({**FACTS, "source": "moved", "licence": "other"})
    other = {**FACTS, "files": {**FACTS["files"], "config.json": "e" * 64}}
    assert digest_of_checkpoint(FACTS) != digest_of_checkpoint(other)
