"""How a run ends: from memory after a kill, beside a champion that a person changed, and with which exit status."""

import json
import logging
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from diminuendo import registry
from diminuendo.gate.decision import Party
from tests.factories.incoming import make_batch
from tests.factories.project import make_project, run
from tests.factories.shipping import decision_about, params, shop, shop_template  # noqa: F401

MODEL, OTHER = Path("models/student/model.onnx"), Path("models/slim/model.onnx")


@pytest.fixture
def flow(monkeypatch):
    """``flows.retrain`` without Prefect: tasks are plain functions, and a run that ends says how."""
    from flows import retrain

    monkeypatch.setattr(retrain, "get_run_logger", logging.getLogger)
    for name in ("keep", "promote"):
        monkeypatch.setattr(retrain, name, getattr(retrain, name).fn)
    monkeypatch.setattr(retrain, "_finish", lambda _run, name, message, _verdict: (name, message))
    return retrain


class Killed(BaseException):
    pass


def kill(*_arguments, **_options):
    raise Killed


def run_of(workspace, folder, settings):
    from flows.retraining.memory import Memory
    from flows.retraining.run import Run

    return Run(settings, workspace, Memory(folder))


# Refused: a run that is killed while the champion stays


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("template") / "p")


@pytest.mark.parametrize("place", ["Workspace.commit", "refuse", "Workspace.reset", "Memory.end"])
def test_what_was_refused_keeps_its_commit_wherever_the_run_is_killed(flow, template, tmp_path, monkeypatch, place):
    from flows.retraining.workspace import Workspace

    root = Path(shutil.copytree(template, tmp_path / "p", symlinks=True))
    workspace = Workspace(root, tmp_path / "p-retraining", lambda _: None)
    workspace.open()
    make_batch(root / "incoming/week1", 2)
    settings = params()
    refused = SimpleNamespace(refusals=(), as_dict=dict)
    monkeypatch.setattr(flow, "markdown", lambda _decision: "the table")

    def attempt():
        one = run_of(workspace, workspace.folder, settings)
        if "run" not in one.memory:
            one.batches = flow.arrived(root / "incoming")
            one.memory.begin(workspace.main_head, one.batches)
            (workspace.folder / "dvc.lock").write_text("what was refused\n")
        else:
            one.batches = flow._those_of(one.memory, flow.arrived(root / "incoming"))
        flow.keep(one, refused, "worse")
        one.memory.end()

    owner = {"Workspace": flow.Workspace, "Memory": flow.Memory}.get(place.partition(".")[0], flow)
    with monkeypatch.context() as patch:
        patch.setattr(owner, place.rpartition(".")[2], kill_after(owner, place))
        with pytest.raises(Killed):
            attempt()
    attempt()
    (tag,) = run(root, "git", "tag").stdout.split()
    assert tag.endswith("-refused")
    assert run(root, "git", "show", f"{tag}:dvc.lock").stdout == "what was refused\n"
    assert run(root, "git", "rev-parse", f"{tag}^").stdout.strip() == workspace.head
    assert not run(workspace.folder, "git", "status", "--porcelain").stdout
    assert (root / "quarantine/week1/refused/manifest.jsonl").exists() and not list((root / "incoming").iterdir())


def kill_after(owner, place):
    """The function, and then death; ``Memory.end`` does not get as far."""
    if place == "Memory.end":
        return kill
    real = getattr(owner, place.rpartition(".")[2])

    def wrapper(*arguments, **options):
        real(*arguments, **options)
        raise Killed

    return wrapper


# Passed: is the champion still the one that the gate compared with?


@pytest.fixture
def passed(flow, shop, monkeypatch):  # noqa: F811
    """A run of which only the ending is left; ``asked`` counts how often the gate is asked again."""
    done = []
    workspace = SimpleNamespace(
        root=shop, folder=shop, commit=lambda *_: "c" * 40, advance=done.append, reset=lambda: done.append("reset")
    )
    one = run_of(workspace, shop, params())
    one.memory.begin("m" * 40, [])
    one.memory.note(decision=decision_about(MODEL).as_dict(), gate_run=None)
    one.asked = []

    def judge_candidate(run):
        champion = registry.champion("commands")
        run.asked.append(champion.digest)
        party = Party(champion.member, champion.digest, 1, champion.version)
        return replace(decision_about(MODEL, errors=run.errors), champion=party)

    monkeypatch.setattr(flow, "judge_candidate", judge_candidate)
    one.errors, one.done = 0, done
    return one


def promote_other():
    return registry.promote(registry.register(params(), OTHER, decision_about(OTHER)))


def test_the_gate_is_asked_again_where_a_person_promoted_another_model_meanwhile(flow, passed):
    other = promote_other()
    assert flow._carry_out(passed)[0] == "Promoted"
    assert passed.asked == [other.digest] and passed.done == ["c" * 40]
    assert registry.champion("commands").member == "student"


def test_it_may_refuse_beside_the_other_champion(flow, passed):
    other, passed.errors = promote_other(), 9
    assert flow._carry_out(passed) == ("Refused", "the gate refused the new model; the champion stays")
    assert registry.champion("commands").digest == other.digest and passed.done == ["reset"]


def test_a_promotion_between_the_question_and_the_answer_is_not_overruled(flow, passed, monkeypatch):
    register = registry.register

    def meanwhile(*arguments, **options):
        version = register(*arguments, **options)
        if not passed.asked:
            registry.promote(register(params(), OTHER, decision_about(OTHER)))
        return version

    monkeypatch.setattr(registry, "register", meanwhile)
    assert flow._carry_out(passed)[0] == "Promoted"
    assert len(passed.asked) == 1 and registry.champion("commands").member == "student"


def test_what_was_promoted_before_the_kill_is_ended_and_not_judged_again(flow, passed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(passed.workspace, "advance", kill)
        with pytest.raises(Killed):
            flow._carry_out(passed)
    promoted = registry.champion("commands")
    promote_other()  # by a person, days later: it stays
    assert flow._carry_out(passed) == ("Promoted", f"{promoted.address} is the champion now")
    assert passed.done == ["c" * 40] and not passed.asked and registry.champion("commands").member == "slim"


def test_a_kill_right_after_the_alias_was_set_is_no_change_of_champion(flow, passed):
    registry.promote(registry.register(params(), MODEL, decision_about(MODEL)), judged_against=None)
    assert flow._carry_out(passed)[0] == "Promoted"
    assert passed.done == ["c" * 40] and not passed.asked


# Exit statuses

END = """
import os, signal, sys
import flows.retrain
from flows.stage import StageFailed
def end(*_):
    {how}
flows.retrain._within = end
sys.argv[1:] = []
flows.retrain.main()
"""
ENDINGS = {
    "raise StageFailed('train_teacher', 1, ['no room'])": (70, "error: train_teacher failed with exit status 1"),
    f"os.kill(os.getpid(), {int(signal.SIGINT)}); import time; time.sleep(60)": (130, "interrupted; run it again"),
}


def test_a_mistake_of_ours_does_not_look_like_a_refusal(monkeypatch, capsys):
    from flows import retrain

    def retraining(**_):
        """Fail."""
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(retrain, "retraining", retraining)
    monkeypatch.setattr(retrain, "checked_params", lambda: None)
    monkeypatch.setattr(retrain.dvc_command, "end_on_signals", lambda: None)
    monkeypatch.setattr(sys, "argv", ["flows.retrain"])
    with pytest.raises(SystemExit) as ended:
        retrain.main()
    assert ended.value.code == 70 and "RuntimeError: a mistake of ours" in capsys.readouterr().err


def test_exit_statuses_tell_a_failure_from_a_refusal(template, tmp_path, prefect):
    root = Path(shutil.copytree(template, tmp_path / "p", symlinks=True))
    for how, (status, message) in ENDINGS.items():
        done = run(root, sys.executable, "-c", END.format(how=how), check=False, **prefect)
        assert done.returncode == status and message in done.stderr, f"{how}\n{done.stdout}\n{done.stderr}"


# What is told


def test_a_refusal_is_told_in_sentences_and_outlives_the_run_that_decided(shop):  # noqa: F811
    from flows.retraining.page import decision_of, refusals

    english = {"name": "english", "package": "whisper_normalizer", "version": "0.1.15"}
    decision = replace(decision_about(MODEL, errors=9), run="r", normalizer=english)
    again = decision_of(json.loads(json.dumps(decision.as_dict())), "r")
    told = refusals(again).splitlines()
    assert again == decision and again.run == "r" and len(told) == len(decision.refusals) > 1
    assert told[0] == "WER (prepared): 90.00 %; limit 30.00 %; the same in every resample: its interval says nothing"
    assert told[1].startswith("ΔWER against the teacher (prepared): +90.00 points; limit +20.00 points")
