"""Numbers that no training survives are refused before anything runs, each in one sentence."""

from __future__ import annotations

import copy
import typing

import pytest
import yaml
from pydantic import BaseModel

from diminuendo.config.base import Section
from diminuendo.core.errors import UserError
from diminuendo.parameters import parse_params
from diminuendo.parameters.construction import construction_problems
from diminuendo.parameters.limits import LIMITS, limits_of
from diminuendo.parameters.schema import Params
from tests.factories.project import ROOT

HOME = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FILES = ["params.yaml", "params/commands.yaml", "params/english.yaml", "params/fsdd.yaml"]


def changed(**values):
    raw = copy.deepcopy(HOME)
    for path, value in values.items():
        *sections, key = path.split("__")
        at = raw
        for section in sections:
            at = at.setdefault(section.replace("--", "-"), {})
        at[key] = value
    return raw


def refusal(raw) -> str:
    with pytest.raises(UserError) as raised:
        parse_params(raw, "params.yaml")
    return str(raised.value)


def numbers_of(section, seen):
    """(class, field) of every number that a parameter file can hold."""
    if section in seen:
        return
    seen.add(section)
    for name, field in section.model_fields.items():
        kinds = set(plain_kinds(field.annotation))
        if kinds & {int, float}:
            yield section, name
        for inner in kinds:
            if issubclass(inner, BaseModel):
                yield from numbers_of(inner, seen)


def plain_kinds(annotation):
    if isinstance(annotation, type):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from plain_kinds(inner)


def test_every_number_has_a_least_and_a_greatest_value():
    found = list(numbers_of(Params, set()))
    assert len(found) > 100
    assert [f"{section.__name__}.{name}" for section, name in found if limits_of(section, name) is None] == []
    known = {cls.__name__ for section, _ in found for cls in section.__mro__ if issubclass(cls, Section)}
    assert {key.partition(".")[0] for key in LIMITS} <= known
    assert all(low < high for low, high in LIMITS.values())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("seed", -1, "seed: expected 0 to"),
        ("seed", 10**30, "seed: expected 0 to"),
        ("seed", True, "seed: expected a number, found true"),
        ("frontend__window_seconds", 1e-7, "frontend.window_seconds: expected 0.001 to 1"),
        ("frontend__hop_seconds", 1e-9, "frontend.hop_seconds: expected 0.001 to 1"),
        ("frontend__hop_seconds", 0.5, "are longer than a window"),
        ("frontend__low_hz", 7700.0, "frontend.low_hz: 7700 Hz must be below high_hz (7600 Hz)"),
        ("frontend__mels", 300, "frontend.mels: 300 bands, and a window of 400 samples has 200 frequencies"),
        ("frontend__window_seconds", 15991 / 16000, "too few divisors"),
        ("training__learning_rate", 1e300, "training.learning_rate: expected 1e-12 to 100, found 1e+300"),
        (
            "teacher__training__final_learning_rate",
            0.5,
            "training.final_learning_rate: 0.5 is above learning_rate",
        ),
        ("training__epochs", 10**18, "training.epochs: expected 1 to"),
        ("training__ema_decay", 1.0, "training.ema_decay: expected 0 to 0.999999"),
        ("training__clip_norm", True, "training.clip_norm: expected a number, found true"),
        ("training__augmentation__gain_db", [0, 1e9], "training.augmentation.gain_db: expected -100 to 40"),
        ("training__augmentation__gain_db", [6.0, -6.0], "must be [lowest, highest]"),
        ("training__augmentation__speed", [], "training.augmentation.speed: expected 1 to 100 factors"),
        ("training__augmentation__speed", [0.0], "training.augmentation.speed: expected 0.25 to 4"),
        ("training__augmentation__time_masks", -1, "training.augmentation.time_masks: expected 0 to"),
        ("training__augmentation__mel_mask_bands", 65, "and there are 64 bands"),
        ("synthesis__gain_db", [0, 1e9], "synthesis.gain_db: expected"),
        ("synthesis__train_utterances", 10**12, "synthesis.train_utterances: expected 1 to"),
        ("teacher__architecture__width", 10**9, "teacher.architecture.width: expected 1 to"),
        ("teacher__architecture__dropout", 1.0, "teacher.architecture.dropout: expected 0 to 0.99"),
        ("teacher__losses", {"ctc": 0}, "losses: every weight is 0"),
        ("prune__slim__losses", {"ctc": 0.0, "kl": 0.0}, "prune.slim.losses: every weight is 0"),
        ("prune__slim__structured", {"parameters": 2.0}, "prune.slim.structured.parameters: 2 parameters are too few"),
        ("compress_architecture__shallow__remove_layers", {"count": 4}, "at least one must stay"),
        ("compress_architecture__shallow__remove_layers", {"count": 10**6}, "remove_layers.count"),
        ("quantize__slim--mixed__budget", {"bytes": 10**20}, "quantize.slim-mixed.budget.bytes: expected 1 to"),
        (
            "quantize__slim--mixed",
            {"from": "slim", "scheme": "mixed", "packed": True, "group_size": 32, "budget": {"bits": 3.5}},
            "mixed.budget.bits: 3.5, and packed weights have 4 or 8 bits each; give 4 or more",
        ),
        ("evaluate__bootstrap_samples", 10**10, "evaluate.bootstrap_samples: expected 1 to"),
        ("gate__bytes", 10**30, "gate.bytes: expected 1 to"),
        ("retrain__workspace", "{nope}", "retrain.workspace: '{nope}'; {repository} stands for"),
        ("retrain__workspace", "{repository.__class__}", "no other braces"),
        ("retrain__test_fraction", 0.96, "more than all new speakers"),
    ],
)
def test_an_impossible_value_is_refused_in_one_sentence(path, value, said):
    message = refusal(changed(**{path: value}))
    assert said in message and message.count("\n") <= 2, message


def test_a_members_own_keys_have_the_same_limits():
    raw = changed(distill__student__training={"epochs": 4, "batch_seconds": 1e12})
    assert "distill.student.training.batch_seconds: expected 0.1 to" in refusal(raw)


@pytest.mark.parametrize("file", FILES)
def test_the_families_here_are_within_all_limits(file):
    parse_params(yaml.safe_load((ROOT / file).read_text(encoding="utf-8")), file)


def checked(raw, memory=64e9, monkeypatch=None):
    from diminuendo.parameters import construction, surroundings

    monkeypatch.setattr(construction, "memory_of_this_machine", lambda: memory)
    params = parse_params(raw, "params.yaml")
    paths = {name: name for name in params.members}
    return construction_problems(params, lambda name: surroundings._record(params, name, None), paths)


def test_every_model_is_built_without_weights_before_anything_runs(monkeypatch):
    from diminuendo.parameters import construction

    assert checked(HOME, monkeypatch=monkeypatch) == ([], [])
    built = []
    real = construction._parameters
    monkeypatch.setattr(construction, "_parameters", lambda record: built.append(record) or real(record))
    checked(HOME, monkeypatch=monkeypatch)
    assert len(built) == 3 and built[0].width == 144

    def broken(record):
        raise RuntimeError("shapes\nthat do not fit")

    monkeypatch.setattr(construction, "_parameters", broken)
    problems, _ = checked(HOME, monkeypatch=monkeypatch)
    assert problems[0] == (
        "teacher.architecture: such a model cannot be built (RuntimeError: shapes\\nthat do not fit)"
    )


def test_the_memory_of_a_training_is_told_before_it_is_missing(monkeypatch):
    large = changed(teacher__architecture__width=4096, teacher__architecture__feed_forward=16384)
    (problem,), _ = checked(large, memory=8e9, monkeypatch=monkeypatch)
    assert problem.startswith("teacher: training takes about ") and "this machine has 8.0 GB" in problem
    problems, notes = checked(HOME, memory=1.2e8, monkeypatch=monkeypatch)
    assert not problems and any("GB of memory" in note for note in notes)
    largest = changed(teacher__architecture__width=16384, teacher__architecture__feed_forward=131072,
                      teacher__architecture__layers=200)  # fmt: skip
    (problem,), _ = checked(largest, monkeypatch=monkeypatch)
    assert "thousand million parameters" in problem


def test_a_number_of_parameters_above_the_parents_is_refused(monkeypatch):
    (problem,), _ = checked(changed(prune__slim__structured={"parameters": 10**9}), monkeypatch=monkeypatch)
    assert "slim.structured.parameters: 1000000000, and teacher has about" in problem
