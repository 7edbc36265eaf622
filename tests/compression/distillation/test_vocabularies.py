"""A teacher that writes the tokens of its checkpoint, and a corpus whose own students write others."""

import json
from dataclasses import replace

import onnx
import pytest
import torch

from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.registry import config_of, technique_of
from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource
from diminuendo.data.text import CharacterTokenizer, VocabularyTokenizer
from diminuendo.export.trained import deliver
from diminuendo.losses.config import LossConfig
from diminuendo.models.store import load_model
from diminuendo.training.recognise import dev_error_rate
from diminuendo.training.trainer import train
from tests.factories.jobs import job_of, make_member
from tests.factories.models import NO_AUGMENTATION, ToneCorpus, digest_of_weights, tiny_model, tiny_training
from tests.factories.transformer import KIND
from tests.factories.transformer.config import TransformerConfig
from tests.factories.transformer.module import tiny_transformer

PIECES = VocabularyTokenizer(["<blank>", "<special:unk>", "▁", "ab", "cd", *"abcd"])
LETTERS = CharacterTokenizer(["<blank>", "▁", *"abcd"])
QUICK = {"learning_rate": 0.01, "augmentation": NO_AUGMENTATION, "checkpoint_every": 999}
CARRIED = {"ctc": 0.5, "sequence": 1.0, "hidden": 0.5}
SAME = {"ctc": 0.5, "kl": 1.0, "hidden": 0.5, "sequence": 0.2}
STUDENT = {
    "layers": 2,
    "width": 16,
    "heads": 2,
    "feed_forward": 12,
    "conv_kernel": 5,
    "subsampling": 2,
    "subsampling_channels": 3,
    "dropout": 0.0,
}
MEMBERS = {
    "copy": ("distill", {"from": "teacher", "architecture": {"kind": "parent", "layers": 1}, "losses": SAME}),
    "low-rank": ("compress_architecture", {"from": "teacher", "low_rank": {"budget": 0.7}, "losses": SAME}),
    "slim": ("prune", {"from": "copy", "structured": {"heads": 0.5, "batches": 2}, "losses": SAME}),
    "four": (
        "quantize",
        {"from": "copy", "scheme": "int4_weight", "group_size": 16, "quantization_aware": True, "losses": SAME},
    ),
    "static": ("quantize", {"from": "copy", "scheme": "int8_static"}),
    "student": (
        "distill",
        {"from": "teacher", "architecture": STUDENT, "initialise": "random", "losses": CARRIED},
    ),
    "thin": ("compress_architecture", {"from": "student", "remove_layers": {"count": 1}, "losses": CARRIED}),
    "narrow": ("prune", {"from": "student", "structured": {"feed_forward": 0.5, "batches": 2}, "losses": CARRIED}),
    "small": ("distill", {"from": "student", "architecture": {"kind": "parent", "width": 8}, "losses": SAME}),
    "eight": (
        "quantize",
        {"from": "student", "scheme": "int8_weight", "quantization_aware": True, "losses": CARRIED},
    ),
}
OF_THE_TEACHER = ("copy", "low-rank", "slim", "four", "static")


def corpus():
    return ToneCorpus(tokenizer=LETTERS, teachers=PIECES)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """It has learned its few texts by heart, in its own tokens."""
    torch.manual_seed(0)
    model, spelt = tiny_transformer({}, {}, width=24, vocabulary=len(PIECES.tokens)), corpus().spelling(PIECES.tokens)
    work = tmp_path_factory.mktemp("teacher")
    history = train(model, spelt, tiny_training(epochs=60, dev_every=60, **QUICK), LossConfig(), seed=7, work=work)
    assert history[-1]["dev_wer"] < 0.2
    return model


@pytest.fixture(scope="module")
def models(teacher, tmp_path_factory):
    """Folder of the teacher and of every member, each made by its technique."""
    folder = tmp_path_factory.mktemp("family") / "models"
    (folder / "teacher").mkdir(parents=True)
    keys = {"name": "teacher", "tokens": PIECES.tokens, "lineage": {}, "history": [], "summary": {}}
    deliver(folder / "teacher", teacher, **keys)
    for name, (section, settings) in MEMBERS.items():
        settings = config_of(section).model_validate(settings)
        make_member(section, folder, name, settings, epochs=1, open_corpus=corpus)
    return folder


@pytest.mark.parametrize("name", MEMBERS)
def test_what_descends_from_the_teacher_writes_its_tokens_and_students_the_corpus_own(models, name):
    tokens = PIECES.tokens if name in OF_THE_TEACHER else LETTERS.tokens
    metadata = {entry.key: entry.value for entry in onnx.load(models / name / "model.onnx").metadata_props}
    assert json.loads(metadata["diminuendo.tokens"]) == tokens
    if name != "static":
        stored = load_model(models / name)
        assert stored.tokens == tokens and stored.model.record.vocabulary == len(tokens)
        curves = (models / name / "history.csv").read_text().splitlines()[0]
        taught = config_of(MEMBERS[name][0]).model_validate(MEMBERS[name][1]).losses.terms
        assert all(f"loss_{key}" in curves for key in taught) and "dev_wer" in curves


def test_a_copy_is_scored_in_its_own_tokens(models):
    """Read in the corpus' own, its pieces would be other letters, and some none at all."""
    spelt, copy = corpus().spelling(PIECES.tokens), load_model(models / "teacher").model
    assert copy.record.kind == KIND
    batches = BatchSource(spelt, spelt.dev, 2.0, 0)
    assert dev_error_rate(copy, batches.epoch(), spelt.tokenizer)[0] < 0.2


class Unheard(ToneCorpus):
    """Nobody wrote down what is said in train: only its audio is there, as unlabelled."""

    def __init__(self, **keys):
        super().__init__(**keys)
        self.said = {f"more-{u.id}": replace(u, id=f"more-{u.id}") for u in self.train}
        self.unlabelled = [replace(u, text=None) for u in self.said.values()]
        self.train = []

    def audio(self, utterance):
        return super().audio(self.said.get(utterance.id, utterance))


def test_a_student_learns_to_write_from_what_the_teacher_says_alone(teacher, tmp_path, capsys):
    heard = Unheard(tokenizer=LETTERS, teachers=PIECES)
    student = tiny_model(1, width=16)
    training = tiny_training(epochs=40, dev_every=40, unlabelled=True, augmentation_copies=1, **QUICK)
    losses = LossConfig(ctc=0.0, sequence=1.0)
    keys = {"seed": 7, "work": tmp_path, "teacher": teacher, "name": "student"}
    history = train(student, heard, training, losses, teacher_tokens=PIECES.tokens, **keys)
    assert history[-1]["dev_wer"] < 0.3
    assert len(list((tmp_path / "teacher_outputs").iterdir())) < 10  # asked once for each batch
    assert "note:" not in capsys.readouterr().err  # the student can write all of it


def test_what_was_left_out_is_told_once_and_counted_over_a_kill(teacher, tmp_path, capsys):
    fewer = CharacterTokenizer(["<blank>", "▁", *"abc"])

    class Killed(Exception):
        pass

    class Dying:
        def __init__(self, at=None):
            self.at = at

        def metrics(self, values, step):
            if step == self.at:
                raise Killed

    def run(work, at=None):
        heard = Unheard(tokenizer=fewer, teachers=PIECES)
        heard.dev = [u for u in heard.dev if "d" not in u.text]
        student = tiny_model(1, vocabulary=5)
        training = tiny_training(epochs=2, unlabelled=True, **QUICK | {"checkpoint_every": 3})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("diminuendo.training.loop.LOG_EVERY", 1)
            keys = {"seed": 7, "work": work, "teacher": teacher, "name": "student", "tracker": Dying(at)}
            train(student, heard, training, LossConfig(sequence=1.0), teacher_tokens=PIECES.tokens, **keys)
        return digest_of_weights(student), [line for line in capsys.readouterr().err.splitlines() if "note:" in line]

    whole, told = run(tmp_path / "whole")
    assert len(told) == 1 and told[0].startswith("note: student: losses.sequence: ")
    assert "characters of the teacher's transcriptions were left out" in told[0] and "'d' (U+0064)" in told[0]
    with pytest.raises(Killed):
        run(tmp_path / "cut", at=5)
    assert run(tmp_path / "cut") == (whole, told)


def test_the_same_tokens_by_name_or_by_default_give_the_same_weights(tmp_path):
    def trained(work, **keys):
        student, losses = tiny_transformer({}, {}), LossConfig(ctc=0.5, kl=1.0, hidden=0.5, sequence=0.3)
        keys |= {"seed": 7, "work": tmp_path / work, "teacher": tiny_model(3, seed=1)}
        history = train(student, ToneCorpus(), tiny_training(), losses, **keys)
        return digest_of_weights(student), history

    assert trained("named", teacher_tokens=ToneCorpus().tokens) == trained("default")


def test_the_output_layer_is_not_taken_over_between_vocabularies(models):
    parent = load_model(models / "teacher").model
    settings = DistillConfig.model_construct(  # the section of a family that exists in the tests alone
        parent="teacher",
        architecture=TransformerConfig(layers=1, width=24, heads=2, head_width=4, inner=12),
        initialise="teacher",
        teacher_layers=None,
        losses=LossConfig(sequence=1.0),
    )
    schedules = [
        technique_of("distill").schedule(job_of(models, "begun", settings, open_corpus=opened))
        for opened in (corpus, lambda: corpus().spelling(PIECES.tokens))
    ]
    for schedule, same_tokens in zip(schedules, (False, True)):
        rows = schedule.model.to_tokens.weight
        assert torch.equal(rows, parent.to_tokens.weight[: len(rows)]) == same_tokens
        assert torch.equal(schedule.model.encoder.stem.weight, parent.encoder.stem.weight)


def test_kl_of_a_student_of_other_tokens_is_refused_before_it_is_trained(models):
    keys = {"from": "teacher", "architecture": STUDENT, "initialise": "random", "losses": {"kl": 1.0}}
    with pytest.raises(UserError, match=r"kl compares posteriors token by token.*\(9 and 6 tokens\)"):
        make_member("distill", models, "refused", DistillConfig(**keys), open_corpus=corpus)


def test_a_parent_whose_tokens_the_corpus_does_not_have_is_refused(models):
    keys = {"from": "teacher", "architecture": {"kind": "parent", "layers": 1}}
    job = job_of(models, "stale", DistillConfig(**keys), open_corpus=ToneCorpus)
    with pytest.raises(UserError, match="no tokenizer of the 9 tokens"):
        assert job.corpus
