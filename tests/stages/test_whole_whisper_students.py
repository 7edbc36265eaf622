"""Of a whole Whisper, through the stages: texts that it writes, and members that learn from them."""

import json
import sys

import numpy as np
import pytest
import soundfile
import yaml

from diminuendo.artifact import lineage
from diminuendo.core.files import sha256_of
from diminuendo.models.store import load_model
from diminuendo.provenance.descent import read_model
from diminuendo.runtime import Recognizer
from stages import label, member, prepare, train_teacher
from stages import stage as stage_module
from tests.factories.audio import dummy_corpus, manifest_params
from tests.factories.whisper_text import write_text_checkpoint

RATE, SECONDS = 16000, 0.4
# Of two in one piece the text would be longer than the tiny model can read.
CHANGES = {"data.sample_rate": RATE, "text.lowercase": False, "training.augmentation.joined": 0.0}
BRIEF = {"epochs": 1, "dev_every": 1, "batch_seconds": 4.0, "joined_from_epoch": 1}
FAMILY = {
    "teacher": {"pretrained": {"path": "checkpoint"}},
    "label": {"heard": {"from": "teacher", "min_log_prob": None, "max_compression": None, "utterances": 8}},
    "distill": {},
    "distill_on_labels": {
        "short": {
            "from": "teacher",
            "labels": "heard",
            "architecture": {
                "kind": "parent",
                "decoder_layers": 1,
                "context": {"margin_seconds": 0.02, "multiple_seconds": 0.1},
            },
            "training": BRIEF,
            "losses": {"ctc": 0.5, "kl": 1.0, "hidden": 0.5},
        },
    },
    "compress_architecture": {},
    "prune": {},
    "prune_on_labels": {
        "slim": {
            "from": "teacher",
            "labels": "heard",
            "structured": {"cross_heads": 0.5, "decoder_feed_forward": 0.3, "batches": 2},
            "training": BRIEF,
            "losses": {"ctc": 0.5, "kl": 1.0},
        },
    },
    "quantize": {"short-int8": {"from": "short", "scheme": "int8_weight", "packed": True, "group_size": 16}},
}


def run(patch, module, *arguments):
    patch.setattr(sys, "argv", ["stage", *arguments])
    module.main()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project after all of its stages but the evaluation."""
    folder = tmp_path_factory.mktemp("students") / "project"
    source = dummy_corpus(folder / "source", rate=RATE)
    for path in source.glob("*.jsonl"):  # the tiny tokenizer has capitals and no space
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:  # and hears 0.6 s
            line |= {"text": line["text"].replace(" ", "").upper(), "duration": SECONDS}
            sound, _ = soundfile.read(source / line["audio_filepath"])
            soundfile.write(source / line["audio_filepath"], sound[: round(SECONDS * RATE)], RATE)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    write_text_checkpoint(folder / "checkpoint")
    params = manifest_params(source, **CHANGES, **FAMILY)
    raw = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    raw |= {key: FAMILY[key] for key in ("teacher", "label")}  # whose nulls were left out, and defaults put in
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DIMINUENDO_TRACKING", "off")
        patch.setattr(stage_module, "code_digest", lambda stage, **_: "code")
        patch.setattr(stage_module, "training_modules_of", lambda stage, **_: {})
        for module, *arguments in (
            (prepare,),
            (train_teacher,),
            (label, "heard"),
            (member, "distill_on_labels", "short"),
            (member, "prune_on_labels", "slim"),
            (member, "quantize", "short-int8"),
        ):
            run(patch, module, *arguments)
        yield folder


def test_the_student_has_one_layer_of_the_decoder_and_hears_what_there_is(project):
    teacher, student = (load_model(project / "models" / name) for name in ("teacher", "short"))
    assert teacher.tokens == student.tokens
    assert len(teacher.model.record.decoder) == 2 and len(student.model.record.decoder) == 1
    assert student.model.record.context.multiple == 10 and student.model.record.context.margin == 2


def test_it_learned_from_the_texts_that_were_written(project):
    lines = [json.loads(line) for line in (project / "labels/heard/labels.jsonl").read_text().splitlines()]
    assert [line["split"] for line in lines] == ["train"] * 8 + ["dev"] * 4
    recognizer = Recognizer(project / "models/teacher/model.onnx", threads=1)
    assert any(line["text"] for line in lines) and all(line["log_prob"] < 0 for line in lines if line["text"])
    rows = (project / "models/short/history.csv").read_text().splitlines()
    assert {"loss_ctc", "loss_kl", "loss_hidden"} <= set(rows[0].split(","))
    assert recognizer.scored_text(np.zeros(RATE, np.float32)) == ("", 0.0)


def test_the_descent_tells_of_the_texts_and_who_wrote_them(project):
    model = read_model(project / "models/short-int8/model.onnx")
    chain = {one.name: one for one in model.chain()}
    assert list(chain) == ["teacher", "heard", "short", "short-int8"]
    assert chain["heard"].digest == sha256_of(project / "labels/heard/labels.jsonl")
    assert chain["heard"].stage == lineage.LABEL and [one.name for one in chain["heard"].parents] == ["teacher"]
    assert [one.name for one in chain["short"].parents] == ["teacher", "heard"]


def test_a_pruned_member_learns_from_the_texts_too(project):
    slim, teacher = (load_model(project / "models" / name).model for name in ("slim", "teacher"))
    heads, before = (sum(layer.cross_heads for layer in one.record.decoder) for one in (slim, teacher))
    assert heads == before // 2
    chain = {one.name: one for one in read_model(project / "models/slim/model.onnx").chain()}
    assert [one.name for one in chain["slim"].parents] == ["teacher", "heard"]
    assert chain["slim"].stage == "prune_on_labels"
    assert "loss_kl" in (project / "models/slim/history.csv").read_text().splitlines()[0]
    found = Recognizer(project / "models/slim/model.onnx", threads=1).scored_text(np.zeros(RATE, np.float32))
    assert found == ("", 0.0)


def test_made_again_they_have_the_same_bytes(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("DIMINUENDO_TRACKING", "off")
    monkeypatch.setenv("DIMINUENDO_TRAIN_ANEW", "1")
    monkeypatch.setattr(stage_module, "code_digest", lambda stage, **_: "code")
    monkeypatch.setattr(stage_module, "training_modules_of", lambda stage, **_: {})
    names = ["labels/heard/labels.jsonl"]
    names += [f"models/{member}/model.{ending}" for member in ("short", "slim") for ending in ("onnx", "safetensors")]
    before = [sha256_of(project / name) for name in names]
    run(monkeypatch, label, "heard")
    run(monkeypatch, member, "distill_on_labels", "short")
    run(monkeypatch, member, "prune_on_labels", "slim")
    assert [sha256_of(project / name) for name in names] == before
