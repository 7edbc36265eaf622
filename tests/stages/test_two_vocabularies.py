"""From a checkpoint with a head of its own, through the stages, to members of its tokens and to students of others."""

import json
import sys

import pytest
import yaml

from diminuendo.artifact import lineage
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.accuracy import HYPOTHESES, measure_accuracy
from diminuendo.models.store import load_model
from diminuendo.parameters import load_params
from stages import member, prepare, train_teacher
from stages import stage as stage_module
from stages.index import beginning_of
from tests.factories.audio import RATE, dummy_corpus, manifest_params
from tests.factories.capitals import TOKENS, VOCABULARY, known_family, write_capitals

BRIEF = {"epochs": 1, "dev_every": 1}
STUDENT = {
    "layers": 1,
    "width": 8,
    "heads": 0,
    "feed_forward": 8,
    "conv_kernel": 5,
    "subsampling": 2,
    "subsampling_channels": 0,
    "dropout": 0.0,
}
LETTERS = ["<blank>", "▁", *"abcde"]
FAMILY = {
    "teacher": {"pretrained": {"path": "checkpoint"}, "fine_tune": True, "training": BRIEF},
    "distill": {
        "student": {
            "from": "teacher",
            "architecture": STUDENT,
            "initialise": "random",
            "training": BRIEF,
            "losses": {"ctc": 0.5, "sequence": 1.0, "hidden": 0.5},
        },
        "copy": {
            "from": "teacher",
            "architecture": {"kind": "parent", "layers": 1},
            "training": BRIEF,
            "losses": {"ctc": 0.5, "kl": 1.0},
        },
    },
    "compress_architecture": {},
    "prune": {"sparse": {"from": "copy", "magnitude": {"sparsity": 0.3}, "training": BRIEF}},
    "quantize": {"static": {"from": "student", "scheme": "int8_static", "calibration_utterances": 4}},
}
STAGES = {"student": "distill", "copy": "distill", "sparse": "prune", "static": "quantize"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project after all of its stages but the evaluation."""
    folder = tmp_path_factory.mktemp("two") / "project"
    source = dummy_corpus(folder / "source")
    write_capitals(folder / "checkpoint", RATE)
    params = manifest_params(source, **FAMILY)
    raw = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    with known_family(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DIMINUENDO_TRACKING", "off")
        # A family of the tests has no code of the project's.
        patch.setattr(stage_module, "code_digest", lambda stage, **_: "code")
        patch.setattr(stage_module, "training_modules_of", lambda stage, **_: {})
        prepare.main()
        train_teacher.main()
        for name, section in STAGES.items():
            patch.setattr(sys, "argv", ["member", section, name])
            member.main()
        yield folder


def test_the_corpus_has_both_vocabularies(project):
    corpus = PreparedCorpus.open(project / "data" / "prepared")
    assert corpus.tokens == LETTERS and {"checkpoint/tokens.json", "tokens.json"} <= set(corpus.summary["files"])
    teachers = json.loads((project / "data" / "prepared" / "checkpoint" / "tokens.json").read_text())
    assert teachers == {"units": "vocabulary", "tokens": TOKENS} and len(TOKENS) == len(VOCABULARY)


@pytest.mark.parametrize(
    ("name", "tokens"), [("teacher", TOKENS), ("copy", TOKENS), ("sparse", TOKENS), ("student", LETTERS)]
)
def test_every_member_writes_its_own_tokens_and_is_scored_by_its_text(project, name, tokens, tmp_path):
    folder = project / "models" / name
    record = lineage.verified_record(folder)
    assert load_model(folder).tokens == tokens and "dev_wer" in (folder / "history.csv").read_text().splitlines()[0]
    corpus = PreparedCorpus.open(project / "data" / "prepared")
    assert record["corpus"] == corpus.digest
    measure_accuracy(folder / "model.onnx", corpus, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / HYPOTHESES).read_text().splitlines()]
    assert [line["reference"] for line in lines] == [utterance.text for utterance in corpus.test]
    assert "".join(line["hypothesis"] for line in lines) == "".join(line["hypothesis"] for line in lines).lower()


def test_a_student_is_quantized_without_its_tokens_being_asked_for(project):
    assert "model.onnx" in lineage.verified_record(project / "models" / "static")["files"]


def test_prepare_depends_on_whose_tokens_the_teacher_writes(project, monkeypatch):
    monkeypatch.chdir(project)
    teacher = {"pretrained": {"path": "checkpoint"}}
    own, stated, new = (beginning_of({"teacher": teacher | more}) for more in ({}, {"head": "own"}, {"head": "ctc"}))
    assert own == stated and json.loads(own) == json.loads(new) | {"head": "own"}


def test_a_corpus_of_another_checkpoint_is_refused(project, tmp_path):
    params = load_params(project / "params.yaml")
    corpus = PreparedCorpus.open(project / "data" / "prepared")
    summary = {**corpus.summary, "files": {"tokens.json": corpus.summary["files"]["tokens.json"]}}
    with pytest.raises(UserError, match=r"has no tokenizer of the 10 tokens .* run the prepare stage again"):
        train_teacher.corpus_of(params, PreparedCorpus(corpus.folder, summary))
