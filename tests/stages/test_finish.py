"""What MLflow is told that a stage reads."""

from types import SimpleNamespace

from diminuendo.artifact.lineage import digest_of_checkpoint
from stages.finish import inputs_of

FACTS = {"source": "small", "licence": "mit", "files": {"config.json": "a" * 64, "model.safetensors": "b" * 64}}


def stage(name, checkpoint=None):
    return SimpleNamespace(stage=name, code="c", parents={}, corpus_digest="d", checkpoint=checkpoint)


def test_a_checkpoint_is_an_input_of_the_stages_that_read_it():
    digest = digest_of_checkpoint(FACTS)
    assert inputs_of(stage("prepare", FACTS)) == {"code": "c", "input.checkpoint": digest}
    assert inputs_of(stage("train_teacher", FACTS))["input.checkpoint"] == digest
    assert inputs_of(stage("train_teacher")) == {"code": "c", "input.corpus": "d"}


def test_a_checkpoint_is_what_its_files_are():
    assert digest_of_checkpoint(FACTS) == digest_of_checkpoint({**FACTS, "source": "moved", "licence": "other"})
    other = {**FACTS, "files": {**FACTS["files"], "config.json": "e" * 64}}
    assert digest_of_checkpoint(FACTS) != digest_of_checkpoint(other)
