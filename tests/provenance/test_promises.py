"""What is not promised to come out again, and what is said of it."""

from __future__ import annotations

import unicodedata

import pytest

from diminuendo.provenance import promises
from diminuendo.provenance.descent import Corpus, Model
from diminuendo.provenance.promises import reasons_against, reasons_of_text
from diminuendo.provenance.reproduce import Outcome
from diminuendo.provenance.store import Run
from diminuendo.training.device import device_record


def trained(name, *parents, **device):
    parameters = {"device": {**device_record("cpu"), **device}} if device else {}
    return Model(f"digest of {name}", name, {"stage": "distill", "parameters": parameters}, parents)


def test_what_was_trained_elsewhere_is_not_promised_here_and_neither_is_what_comes_of_it():
    teacher = trained("teacher", type="cuda", reproducible=False)
    student = trained("student", teacher, capability="of another processor")
    (first, second) = reasons_against(student)
    assert first == "teacher was trained on cuda, where CTC's gradient is not deterministic"
    assert "student was trained with vector capability of another processor, and here it is" in second
    assert reasons_against(trained("alone", trained("old"), type="cpu")) == ()
    assert reasons_against(trained("old")) == ()  # the device was not in the record yet


def test_a_difference_that_was_to_be_expected_is_told_as_such():
    model = trained("student", capability="of another processor")
    outcome = Outcome(model, "c" * 40, "another digest", not_promised=reasons_against(model))
    assert "the same bytes are not promised: student was trained with vector capability" in str(outcome)
    assert outcome.as_dict()["not_promised"] == list(reasons_against(model))
    again = Outcome(model, "c" * 40, model.digest, not_promised=reasons_against(model))
    assert "the same bytes again" in str(again) and "not promised" not in str(again)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ("AVX2", "AVX512", "; to compute as then, set ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2"),
        ("AVX512", "AVX2", "; run this on a processor that has AVX512"),
        ("AVX2", "AVX2", ""),
        ("NEON", "AVX2", ""),
    ],
)
def test_another_vector_capability_has_a_remedy(then, now, said):
    recorded = {"type": "cpu", "capability": then}
    assert promises._remedy(recorded, {"type": "cpu", "capability": now}) == said


def test_another_unicode_is_named():
    corpus = Corpus("c" * 64, {})
    model = Model("m" * 64, "teacher", None, corpus=corpus)
    made = {"id": "r", "name": "prepare", "status": "FINISHED", "commit": None, "dirty": False, "code": None}
    run_of = Run(**made, started=0, made_with=(("python", "3.9.1"), ("unicode", "13.0.0")))
    (told,) = reasons_of_text(model, {corpus.digest: run_of})
    assert "was prepared with Unicode 13.0.0 (Python 3.9.1), and this Python has" in told
    own = Run(**made, started=0, made_with=(("unicode", unicodedata.unidata_version),))
    assert reasons_of_text(model, {corpus.digest: own}) == () == reasons_of_text(model, {})
