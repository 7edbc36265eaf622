"""Retraining where signatures are required: it asks for its key before it begins, and signs what it makes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from diminuendo import registry
from diminuendo.core.errors import UserError
from diminuendo.parameters import load_params
from diminuendo.signing import Untrusted, policy_of, read_signature, signature_path
from diminuendo.signing.keys import make_pair
from flows import serve
from flows.retraining import judging
from flows.retraining.run import checked_params
from flows.retraining.signing import KEY, sign_candidate, signing_key
from tests.factories.shipping import decision_about, params
from tests.factories.signed import change_ship

MODEL = Path("models/student/model.onnx")


@pytest.fixture
def required(repository, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    change_ship(repository, signed="required", key="public.pem")
    return load_params().ship


def test_without_its_key_nothing_begins(required, keys, tmp_path, monkeypatch):
    make_pair(tmp_path / "another.pem", tmp_path / "another.pub", None)
    for named, said in (
        ("", f"set {KEY} to the path of the private key"),
        (str(tmp_path / "missing.pem"), "there is no such key"),
        ("public.pem", "not a private key in PEM"),
        (str(tmp_path / "another.pem"), "name the private key that belongs to that one"),
    ):
        monkeypatch.setenv(KEY, named)
        with pytest.raises(UserError, match=said):
            checked_params()
    monkeypatch.setenv(KEY, str(keys[0]))
    assert checked_params().ship == required


def test_serve_refuses_before_it_starts_anything(required, keys, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(serve, "_serve", started.append)
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["flows.serve"])
    with pytest.raises(SystemExit) as end:
        serve.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.startswith("error: ship.signed is required") and said.count("\n") == 1
    assert not started
    monkeypatch.setenv(KEY, str(keys[0]))
    serve.main()
    assert started == [serve.PORT]


def test_the_new_model_is_signed_once(required, keys, monkeypatch):
    monkeypatch.setenv(KEY, str(keys[0]))
    sign_candidate(MODEL, required)
    first = read_signature(MODEL)
    version = registry.register(load_params(), MODEL, decision_about(MODEL))
    assert registry.promote(version, policy=policy_of(required)).signature() == first
    signature_path(MODEL).write_text(f"{first}\n")
    sign_candidate(MODEL, required)
    assert read_signature(MODEL) == f"{first}\n"  # whoever signed it before is not overruled


def test_where_nobody_asks_for_signatures_no_key_is_needed(repository, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    ship = load_params().ship
    assert signing_key(ship) is None
    sign_candidate(MODEL, ship)
    assert read_signature(MODEL) is None


def test_a_champion_that_nobody_vouches_for_is_not_compared_with(repository, keys, monkeypatch):
    registry.promote(registry.register(params(), MODEL, decision_about(MODEL)))
    change_ship(repository, signed="required", key="public.pem")
    monkeypatch.setenv(KEY, str(keys[0]))
    monkeypatch.setattr(judging, "corpus_of", lambda *_: pytest.fail("the champion's commit was believed"))
    run = SimpleNamespace(params=load_params(), model=Path("models/slim/model.onnx"), workspace=None)
    with pytest.raises(Untrusted, match="models:/commands/1: not signed"):
        judging.judge(run, logging.getLogger("test"))
