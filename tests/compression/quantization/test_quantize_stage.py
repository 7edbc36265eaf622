"""The stage in its room: what it leaves, and that post-training quantization starts without torch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from diminuendo.artifact import lineage
from diminuendo.compression.quantization import mixed
from diminuendo.compression.quantization import quantization_aware as aware
from diminuendo.compression.quantization.sensitivity import Posteriors
from diminuendo.core.files import sha256_of
from diminuendo.export.write import export_model
from diminuendo.models.store import save_model
from diminuendo.training import schedule
from diminuendo.training.checkpoint import CHECKPOINT
from stages import member as stage
from stages import stage as stage_module
from stages.context import WORK
from stages.making import SAME
from tests.factories.audio import dummy_prepared, manifest_params
from tests.factories.models import tiny_layer, tiny_model

ROOT = Path(__file__).resolve().parents[3]
MEMBERS = {
    "static": {"from": "teacher", "scheme": "int8_static", "calibration_utterances": 4},
    "aware": {
        "from": "teacher",
        "scheme": "int4_weight",
        "quantization_aware": True,
        "group_size": 16,
        "training": {"epochs": 1, "dev_every": 1},
        "losses": {"ctc": 1.0, "kl": 1.0},
    },
    "fed-back": {"from": "teacher", "scheme": "int4_weight", "error_feedback": True, "calibration_utterances": 3},
    "mixed": {"from": "teacher", "scheme": "mixed", "calibration_utterances": 3, "budget": {"bits": 4.0}},
    "mixed-aware": {
        "from": "teacher",
        "scheme": "mixed",
        "quantization_aware": True,
        "calibration_utterances": 3,
        "budget": {"bytes": 26000},
        "training": {"epochs": 3, "dev_every": 1, "batch_seconds": 4.0, "checkpoint_every": 1},
    },
}


KILLED = """
import os, signal, sys
from diminuendo.compression.quantization import mixed
from diminuendo.compression.quantization import quantization_aware as aware
from diminuendo.compression.quantization.sensitivity import Posteriors
from diminuendo.training.average import MovingAverage
from stages import member

aware.SCALE_REFRESH_STEPS = int(sys.argv.pop())  # searches on either side of the kill
place, at = sys.argv.pop().split(":")
kind, name = {"sweep": (Posteriors, "divergence"), "training": (MovingAverage, "update_parameters")}[place]
calls, whole = [], getattr(kind, name)

def counted(*given):
    calls.append(given)
    if len(calls) == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*given)

setattr(kind, name, counted)
sys.argv[1:] = ["quantize", *sys.argv[1:]]
member.main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A prepared corpus and a trained teacher, as their stages leave them."""
    folder = tmp_path_factory.mktemp("project")
    prepared = dummy_prepared(folder / "data" / "prepared")
    empty = {section: {} for section in ("distill", "compress_architecture", "prune")}
    params = manifest_params(folder, **empty, quantize=MEMBERS)
    raw = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    tokens = json.loads((prepared / "tokens.json").read_text())["tokens"]
    layer = tiny_layer(heads=2, head_width=8, feed_forward_1=32, feed_forward_2=32, convolution=16)
    sizes = {"sample_rate": params.data.sample_rate, "frontend": params.frontend, "vocabulary": len(tokens)}
    model = tiny_model((layer,), width=16, **sizes)
    teacher = folder / "models" / "teacher"
    teacher.mkdir(parents=True)
    save_model(teacher, model, tokens)
    export_model(teacher / "model.onnx", model, name="teacher", tokens=tokens, lineage={})
    lineage.write_record(teacher, lineage.record("train_teacher", "teacher", {}, code="0", corpus="0", parents={}))
    return folder


@pytest.fixture
def run(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("DIMINUENDO_TRACKING", "off")

    def call(member: str) -> Path:
        monkeypatch.setattr(sys, "argv", ["member", "quantize", member])
        stage.main()
        return project / "models" / member

    return call


@pytest.mark.parametrize("member", MEMBERS)
def test_the_stage_leaves_a_model_its_summary_and_its_lineage(member, run, project):
    folder = run(member)
    record = lineage.verified_record(folder)
    expected = {"model.onnx", "summary.json"}
    if MEMBERS[member].get("quantization_aware"):
        expected |= {"config.json", "model.safetensors", "history.csv", "training.json", "trained.safetensors"}
    if MEMBERS[member]["scheme"] == "mixed":
        expected.add("sensitivity.csv")
    assert set(record["files"]) == expected
    assert set(record["parents"]) == {"teacher"}
    summary = json.loads((folder / "summary.json").read_text())
    budget = MEMBERS[member].get("budget", {})
    if budget:
        assert 2 <= summary["mean_bits"] <= budget.get("bits", 8)
        assert summary["bytes"] <= budget.get("bytes", 1e9)
    assert (
        summary["bytes"]
        == (folder / "model.onnx").stat().st_size
        < (project / "models/teacher/model.onnx").stat().st_size
    )


def test_killed_in_the_sweep_and_in_the_fine_tuning_it_ends_with_the_same_bytes(run, project, monkeypatch):
    member, kept_steps = "mixed-aware", 2
    monkeypatch.setattr(aware, "SCALE_REFRESH_STEPS", kept_steps)
    measured, divergence = [], Posteriors.divergence
    monkeypatch.setattr(Posteriors, "divergence", lambda *given: measured.append(1) or divergence(*given))

    def killed(place: str, at: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIMINUENDO_TRACKING": "off"}
        command = [sys.executable, "-c", KILLED, member, f"{place}:{at}", str(kept_steps)]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == -signal.SIGKILL, done.stderr

    def kept(name: str) -> list[Path]:
        return list((project / WORK / "quantize" / member).rglob(name))

    shutil.rmtree(project / "models" / member, ignore_errors=True)  # another test's, with other steps between searches
    folder = run(member)
    expected, all_measured = {path.name: sha256_of(path) for path in folder.iterdir()}, len(measured)
    steps = [int(line.split(",")[0]) for line in (folder / "history.csv").read_text().splitlines()[1:]]
    assert max(steps) >= 8, "too few to be killed among"

    shutil.rmtree(folder)
    killed("sweep", 20)
    assert kept("sensitivity.json") and not kept(CHECKPOINT)
    killed("training", 5)
    assert kept(CHECKPOINT) and not folder.exists()
    measured.clear()
    run(member)
    assert {path.name: sha256_of(path) for path in folder.iterdir()} == expected
    assert len(measured) < 5 < all_measured, "the sweep was measured again"


@pytest.mark.parametrize("member", ["aware", "mixed-aware"])
def test_another_graph_writer_rounds_the_same_weights_again_and_trains_nothing(member, run, monkeypatch, capsys):
    folder = run(member)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(stage_module, "code_digest", lambda stage, **_: "0" * 64)  # as long as a real one: sizes stay
    monkeypatch.setattr(schedule, "run", lambda *given, **keys: pytest.fail("trained"))
    capsys.readouterr()
    run(member)
    assert SAME in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name, content in after.items() if content != before[name]} == {"model.onnx", "lineage.json"}


def test_weights_trained_for_other_bits_are_not_taken_over(run, monkeypatch):
    run("mixed-aware")
    trained, choose, more = [], mixed.choose, schedule.run

    def other_bits(*given, **keys):
        choice, harms, found = choose(*given, **keys)
        weight, bits = max(found["bits"].items(), key=lambda item: item[1])
        fewer = max(harm.bits for harm in harms if harm.weight == weight and harm.bits < bits)
        return choice, harms, found | {"bits": found["bits"] | {weight: fewer}}

    monkeypatch.setattr(stage_module, "code_digest", lambda stage, **_: "1" * 64)
    monkeypatch.setattr(mixed, "choose", other_bits)
    monkeypatch.setattr(schedule, "run", lambda *given, **keys: trained.append(1) or more(*given, **keys))
    run("mixed-aware")
    assert trained


def test_post_training_quantization_does_not_wait_for_torch():
    code = (
        "import sys, stages.member, stages.making, diminuendo.compression.quantization.post_training, "
        "diminuendo.compression.quantization.technique, diminuendo.compression.quantization.writing, "
        "diminuendo.compression.quantization.mixed, diminuendo.compression.quantization.figure, "
        "diminuendo.data.prepared;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
