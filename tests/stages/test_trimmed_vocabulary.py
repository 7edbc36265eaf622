"""A whole Whisper of fewer tokens, through the stages: from its checkpoint to what is quantized of it."""

import json
import sys

import pytest
import yaml

from diminuendo.artifact import lineage
from diminuendo.artifact.onnx_file import read_metadata, read_onnx
from diminuendo.compression.distillation.config import Config as Distill
from diminuendo.compression.label_distillation.texts import LabelledCorpus
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.accuracy import HYPOTHESES, measure_accuracy
from diminuendo.models.store import load_model
from diminuendo.parameters import load_params
from diminuendo.runtime.recognizer import Recognizer
from stages import member, prepare, train_teacher
from tests.factories.audio import dummy_corpus, manifest_params
from tests.factories.jobs import job_of
from tests.factories.whisper_vocabulary import SPELT, write_vocabulary_checkpoint

FAMILY = {
    "teacher": {"pretrained": {"path": "checkpoint"}},
    "text": {"units": "checkpoint", "lowercase": True},
    "distill": {},
    "compress_architecture": {"english": {"from": "teacher", "vocabulary": {"most": 8, "languages": ["en"]}}},
    "prune": {},
    "quantize": {
        "small": {"from": "english", "scheme": "int8_weight", "packed": True, "group_size": 16},
        "mixed": {"from": "english", "scheme": "mixed", "budget": {"bits": 6.0}, "calibration_utterances": 2},
    },
}
STAGES = {"english": "compress_architecture", "small": "quantize", "mixed": "quantize"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project after the stages that make its members."""
    folder = tmp_path_factory.mktemp("trimmed") / "project"
    source = dummy_corpus(folder / "source", rate=16000)
    write_vocabulary_checkpoint(folder / "checkpoint")
    params = manifest_params(source, **FAMILY, **{"data.sample_rate": 16000})
    raw = params.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DIMINUENDO_TRACKING", "off")
        prepare.main()
        train_teacher.main()
        for name, section in STAGES.items():
            patch.setattr(sys, "argv", ["member", section, name])
            member.main()
        yield folder


def corpus(project) -> PreparedCorpus:
    return PreparedCorpus.open(project / "data" / "prepared")


def test_it_has_its_parents_rows_and_is_smaller(project):
    english, teacher = (load_model(project / "models" / name) for name in ("english", "teacher"))
    assert teacher.tokens == SPELT and len(english.tokens) < len(SPELT)
    rows = [SPELT.index(token) for token in english.tokens]
    table = "decoder.embedding.weight"
    assert english.model.state_dict()[table].equal(teacher.model.state_dict()[table][rows])
    sizes = [(project / "models" / name / "model.onnx").stat().st_size for name in ("teacher", "english", "small")]
    assert sizes == sorted(sizes, reverse=True)


def test_the_record_says_what_it_was_made_with(project):
    record = lineage.verified_record(project / "models" / "english")
    assert record["parameters"]["vocabulary"] == {"characters": "any", "most": 8, "languages": ["en"]}
    assert "training" not in record["parameters"] and list(record["parents"]) == ["teacher"]
    figures = json.loads((project / "models" / "english" / "summary.json").read_text())["vocabulary"]
    assert figures["tokens_before"] == len(SPELT) > figures["tokens"]


@pytest.mark.parametrize("name", ["english", "small", "mixed"])
def test_what_is_shipped_says_its_own_tokens_and_is_scored(project, name, tmp_path):
    path = project / "models" / name / "model.onnx"
    tokens = load_model(project / "models" / "english").tokens
    metadata = read_metadata(read_onnx(path))
    assert json.loads(metadata["tokens"]) == tokens
    told = json.loads(metadata["decoding"])
    assert tokens[told["start"]] == "<special:startoftranscript>" and list(told["languages"]) == ["en"]
    assert tokens[told["no_timestamps"] + 1] == "<special:0.00>"
    measure_accuracy(path, corpus(project), tmp_path)
    assert len((tmp_path / HYPOTHESES).read_text().splitlines()) == len(corpus(project).test)
    with pytest.raises(UserError, match=r"language: .* does not know 'de'; it knows en"):
        Recognizer(path, language="de")


def test_the_corpus_spells_its_texts_in_the_tokens_that_are_left(project):
    whole = corpus(project)
    tokens = load_model(project / "models" / "english").tokens
    view = whole.spelling(tokens)
    assert view.tokens == tokens and view.spelling(tokens) is view and view.spelling(SPELT).tokens == SPELT
    for text in (utterance.text for utterance in (*whole.train, *whole.dev)):
        assert [view.tokens[i] for i in view.tokenizer.encode(text)] == [SPELT[i] for i in whole.tokenizer.encode(text)]
    assert view.tokenizer.decode(view.tokenizer.encode("the дad …")) == "the дad …"
    without_a_byte = [token for token in tokens if token != "d"]
    for other in (tokens[::-1], without_a_byte, [*tokens, "ĠnewĠ"]):
        with pytest.raises(UserError, match="has no tokenizer of the"):
            whole.spelling(other)


def test_texts_that_the_whole_model_wrote_are_learned_in_the_tokens_that_are_left(project, tmp_path):
    whole, tokens = corpus(project), load_model(project / "models" / "english").tokens
    line = {"split": "train", "id": whole.train[0].id, "text": "the дad …", "log_prob": -0.1, "rejected": None}
    (tmp_path / lineage.LABELS).write_text(f"{json.dumps(line)}\n")
    for real_texts in (False, True):
        view = LabelledCorpus.of(whole, tmp_path, as_written=True, real_texts=real_texts).spelling(tokens)
        assert view.tokens == tokens and view.spelling(tokens).tokens == tokens
        ids = [token for utterance in view.train for token in view.tokenizer.encode(utterance.text)]
        assert view.train[0].text == "the дad …" and max(ids) < len(tokens) < len(whole.tokens)


def test_what_teaches_a_child_writes_the_childs_tokens(project):
    settings = Distill.model_validate(
        {"from": "english", "architecture": {"kind": "parent", "layers": 1}, "losses": {"ctc": 0.5, "kl": 1.0}}
    )
    job = job_of(project / "models", "child", settings, open_corpus=lambda: corpus(project))
    english = load_model(project / "models" / "english")
    assert list(job.teacher_tokens) == job.corpus.tokens == english.tokens
    assert job.teacher_model().record.vocabulary == len(english.tokens)


def test_parameters_of_the_repository_are_accepted_as_they_stand(project, monkeypatch):
    monkeypatch.chdir(project)
    settings = load_params(project / "params.yaml").members["english"][1]
    assert not settings.trains and settings.builds_models
