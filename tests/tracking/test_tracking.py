import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from diminuendo import tracking
from diminuendo.core.files import sha256_of
from diminuendo.tracking import lookup, sender
from diminuendo.tracking.journal import journals
from diminuendo.tracking.readable import NOTE, acting, flat
from diminuendo.tracking.track import deliver
from diminuendo.tracking.views import EXPERIMENT_TAGS, page_of
from flows.results import record_results
from tests.factories.project import ROOT, environment
from tests.factories.recording import client, record_stage, runs


def test_a_stage_becomes_a_run_with_all_that_it_told(place):
    digest = record_stage(parents={"input.teacher": "abc"})
    sender.serve()
    (run,) = runs()
    assert run.info.run_name == "student" and run.info.status == "FINISHED"
    assert run.data.params == {"training.epochs": "3", "from": "teacher"}
    assert run.data.tags["stage"] == "distill" and run.data.tags["input.teacher"] == "abc"
    assert run.data.tags["output"] == digest
    curve = client().get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in curve] == [(step, 1 / (step + 1)) for step in range(5)]
    assert run.data.metrics["dev/wer"] == 0.25 and "note" not in run.data.metrics
    path = client().download_artifacts(run.info.run_id, "files/model.onnx")
    assert sha256_of(path) == digest
    assert not journals()


def test_the_model_is_the_same_file_with_signature_and_metrics_and_runs(place):
    import mlflow

    digest = record_stage()
    later = record_stage("other", parents={"input.student": digest}, value=2.0, **{digest: {"test/wer": 0.5}})
    sender.serve()
    models = client().search_logged_models([runs()[0].info.experiment_id])
    by_name = {model.name: model for model in models}
    student = by_name["student"]
    assert {metric.key: metric.value for metric in student.metrics} == {"dev/wer": 0.25, "test/wer": 0.5}
    (found,) = runs(f"tags.output = '{later}'")
    other = client().get_run(found.info.run_id)  # a search leaves the models out
    assert [model.model_id for model in other.inputs.model_inputs] == [student.model_id]
    assert [model.model_id for model in other.outputs.model_outputs] == [by_name["other"].model_id]

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{student.model_id}"))
    assert sha256_of(folder / "model.onnx") == digest
    assert not list(folder.rglob("*.pkl"))
    loaded = mlflow.pyfunc.load_model(f"models:/{student.model_id}")
    assert loaded.metadata.signature.inputs.input_names() == ["waveform", "waveform_lengths"]
    feed = {"waveform": np.zeros((2, 800), np.float32), "waveform_lengths": np.array([800, 400])}
    out = loaded.predict(feed)
    assert out["log_probs"].shape == (2, 10, 2) and out["lengths"].tolist() == [10, 5]


def test_a_digest_leads_to_its_newest_run(place):
    digest = record_stage()
    sender.serve()
    record_stage()  # the same bytes, made again
    sender.serve()
    newest = max(runs(), key=lambda run: run.info.start_time)
    assert lookup.runs_of_digests([digest, "unknown"]) == {digest: newest.info.run_id}
    assert lookup.link(newest.info.run_id) is None  # what `make ui` serves may be gone when it is read


def test_stages_nest_below_a_pipeline_and_one_without_stages_leaves_nothing(place):
    with tracking.pipeline_run("repro", seconds=0):
        pass
    sender.serve()
    assert runs() == [] and not journals()
    with tracking.pipeline_run("repro", seconds=0):
        record_stage()
    sender.serve()
    (pipeline,) = runs("tags.`mlflow.runName` = 'repro'")
    (stage,) = runs("tags.stage = 'distill'")
    assert stage.data.tags["mlflow.parentRunId"] == pipeline.info.run_id
    assert pipeline.info.status == "FINISHED" and not journals()


def test_a_pipeline_is_described_by_its_results(place):
    params = SimpleNamespace(ship=SimpleNamespace(member="student"))
    Path("reports").mkdir()
    columns = "wer,bytes,times_smaller,real_time_factor,times_faster,digest"
    lines = [f"member,{columns}", "teacher,0.08,12000000,1,0.003,1,aa", "student,0.1,1000000,12,0.001,3,bb"]
    Path("reports/leaderboard.csv").write_text("\n".join(lines) + "\n")
    with tracking.pipeline_run("repro", seconds=0) as track:
        record_stage()
        record_results(track, params, Path("reports"))
    sender.serve()
    (pipeline,) = runs("tags.`mlflow.runName` = 'repro'")
    assert pipeline.data.metrics["teacher/wer"] == 0.08 and pipeline.data.metrics["shipped/bytes"] == 1e6
    assert "| **student** (shipped) | 10.00 | 1.00 MB | 12.0× |" in pipeline.data.tags[NOTE]
    assert [file.path for file in client().list_artifacts(pipeline.info.run_id)] == ["leaderboard.csv"]


def test_a_member_s_run_has_what_was_measured_of_it_and_evaluation_has_none(place):
    digest = record_stage()
    with tracking.stage_run("evaluate", "evaluate", {}, {"input.student": digest, "input.corpus": "cc"}) as track:
        track.model_metrics(digest, {"wer": 0.2})
    sender.serve()
    (student,) = runs("tags.stage = 'distill'")
    (evaluate,) = runs("tags.stage = 'evaluate'")
    assert student.data.metrics["wer"] == 0.2 and evaluate.data.metrics == {}
    assert "input.corpus" in evaluate.data.tags and "input.student" not in evaluate.data.tags
    found = client().get_run(evaluate.info.run_id)
    assert len(found.inputs.model_inputs) == 1
    assert "`student` from `teacher`" in student.data.tags[NOTE] and digest[:12] in student.data.tags[NOTE]
    shown = {key for key in student.data.tags if not key.startswith("mlflow.")}
    assert shown == {"stage", "member", "output", "python", "unicode", "cpus", "torch", "onnxruntime"} | shown & {
        "git.dirty"
    }


def test_failure_and_interruption_are_recorded(place):
    for problem in (ValueError("no such voice"), KeyboardInterrupt()):
        with pytest.raises(type(problem)), tracking.stage_run("prepare", "prepare", {}, {}):
            raise problem
    sender.serve()
    found = {run.info.status: run.data.tags["error"] for run in runs()}
    assert found["FAILED"] == "ValueError: no such voice"
    assert found["KILLED"].startswith("KeyboardInterrupt")


def in_other_process(code, **env):
    return subprocess.run([sys.executable, "-c", code], env=environment(PYTHONPATH=str(ROOT), **env), timeout=120)


def test_a_killed_stage_does_not_stay_running(place):
    in_other_process(
        "import os; from diminuendo import tracking; from diminuendo.tracking import track\n"
        "track.start_sender = lambda: None\n"
        "with tracking.stage_run('distill', 'student', {}, {}) as run:\n"
        "    run.metrics({'loss': 1.0}, step=1)\n"
        "    os._exit(9)\n"
    )
    sender.serve()
    (run,) = runs()
    assert run.info.status == "KILLED" and run.data.metrics == {"loss": 1.0}


def test_a_run_whose_journal_is_lost_is_ended_too(place):
    from diminuendo.tracking.delivery import JOURNAL_TAG, WORKSPACE_TAG, Delivery

    delivery = Delivery()
    for workspace in (delivery.workspace, "another checkout"):
        tags = {JOURNAL_TAG: "gone", WORKSPACE_TAG: workspace}
        delivery.client.create_run(delivery.experiment, tags=tags, run_name=workspace)
    Delivery()
    assert {run.info.run_name: run.info.status for run in runs()} == {
        delivery.workspace: "KILLED",
        "another checkout": "RUNNING",
    }


def test_a_server_that_is_away_is_told_of_and_loses_nothing(place, monkeypatch, capsys):
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://name:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    record_stage()
    assert not sender.serve()
    deliver(0.1)
    text = capsys.readouterr().err
    assert "1 run(s) are not in MLflow yet" in text and "127.0.0.1:9" in text
    assert "sent by the next run" in text and "secret" not in text
    assert len(journals()) == 1

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sender.serve()
    assert [run.info.run_name for run in runs()] == ["student"] and not journals()


def test_an_interrupted_delivery_goes_on_without_doing_anything_twice(place, monkeypatch):
    from mlflow import MlflowClient

    from diminuendo.tracking.delivery import Delivery

    record_stage("teacher", value=2.0)
    (parent,) = journals()
    digest = record_stage(parents={"input.teacher": sha256_of("model.onnx")})
    (folder,) = set(journals()) - {parent}
    Delivery().carry(parent)
    calls = ["create_run", "log_inputs", "log_batch", "create_logged_model", "log_outputs", "finalize_logged_model"]
    for name in [*calls, "set_terminated"]:  # die after each of these in turn, before it could be noted
        original = getattr(MlflowClient, name)

        def dies(self, *arguments, original=original, **named):
            original(self, *arguments, **named)
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, name, dies)
            with pytest.raises(SystemExit):
                Delivery().carry(folder)
    Delivery().carry(folder)
    (run,) = runs("tags.member = 'student'")
    whole = client().get_run(run.info.run_id)
    assert run.info.status == "FINISHED"
    assert len(whole.inputs.model_inputs) == len(whole.outputs.model_outputs) == 1
    assert len(client().get_metric_history(run.info.run_id, "train/loss")) == 5
    (model,) = client().search_logged_models([run.info.experiment_id], f"tags.digest = '{digest}'")
    assert model.status == "READY" and not folder.exists()


def test_what_mlflow_refuses_does_not_hold_up_the_rest(place):
    with tracking.stage_run("distill", "student", {}, {}) as track:
        track.metrics({"no/such\x00name?*": 1.0})
        track.output("d1")
    assert sender.serve()
    assert runs()[0].data.tags["output"] == "d1"


def test_switched_off_nothing_is_written(place, monkeypatch):
    monkeypatch.setenv("DIMINUENDO_TRACKING", "off")
    record_stage()
    assert not Path(".work").exists() and lookup.runs_of_digests(["d"]) == {}


def test_processes_racing_on_a_fresh_store_all_succeed(tmp_path):
    code = "from diminuendo.tracking.store import open_client; print(open_client()[1])"
    env = environment(PYTHONPATH=str(ROOT), MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'new.db'}")
    racing = [
        subprocess.Popen([sys.executable, "-c", code], env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].strip() for process in racing]
    assert [process.returncode for process in racing] == [0, 0] and outputs[0] == outputs[1] != ""


def test_the_sender_is_started_and_waited_for(place, monkeypatch, capfd):
    monkeypatch.undo()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with tracking.stage_run("distill", "student", {}, {}) as track:
        track.metrics({"loss": 1.0}, step=1)
    track.wait(60)
    assert runs()[0].info.status == "FINISHED" and capfd.readouterr().err == ""


def test_parameters_are_flat_and_without_noise():
    nested = {"a": {"b": 1, "none": None}, "mels": [5, 30.0], "on": True, "empty": {}}
    assert flat(nested) == {"a.b": "1", "mels": "[5, 30.0]", "on": "true"}
    assert os.environ.get("DIMINUENDO_PIPELINE") is None


def test_the_experiment_has_a_description_and_views_that_pages_can_read(place):
    record_stage()
    sender.serve()
    experiment = client().get_experiment_by_name("diminuendo")
    assert EXPERIMENT_TAGS.items() <= experiment.tags.items()
    views = [json.loads(tag) for key, tag in experiment.tags.items() if "sharedViewState" in key]
    assert {view["name"] for view in views} == {"Members", "Pipelines", "Gate"}
    assert page_of(experiment.experiment_id).endswith("?viewStateShareKey=members&workflowType=machine_learning")
    members = json.loads(json.loads(experiment.tags["mlflow.sharedViewState.members"])["state"])
    shown = [f"metrics.`{name}`" for name in ("wer", "delta_wer", "cer", "bytes", "real_time_factor")]
    assert members["selectedColumns"][:5] == members["columnOrder"][:5] == shown
    assert members["orderByKey"] == shown[0]  # ordered by time, members would be folded below their pipeline


def test_an_experiment_made_elsewhere_gets_them_once(place):
    client().create_experiment("diminuendo")
    record_stage()
    sender.serve()
    experiment = client().get_experiment_by_name("diminuendo")
    assert EXPERIMENT_TAGS.items() <= experiment.tags.items()
    client().set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    client().set_experiment_tag(experiment.experiment_id, "mlflow.sharedViewState.members", "of an older version")
    record_stage("other")
    sender.serve()
    tags = client().get_experiment_by_name("diminuendo").tags
    assert tags["mlflow.note.content"] == "mine"
    assert tags["mlflow.sharedViewState.members"] == EXPERIMENT_TAGS["mlflow.sharedViewState.members"]


def test_only_parameters_that_act_are_shown():
    given = {
        "seed": 1,
        "training": {"epochs": 3, "checkpoint_every": 100},
        "losses": {"ctc": 1.0, "kl": 0.0, "temperature": 2.0, "hidden": 0.0},
        "quantization_aware": False,
    }
    assert acting("quantize", given) == {"seed": 1, "quantization_aware": False}
    aware = acting("quantize", {**given, "quantization_aware": True})
    assert aware == {"seed": 1, "quantization_aware": True, "training": {"epochs": 3}, "losses": {"ctc": 1.0}}
    taught = acting("distill", {**given, "losses": {"kl": 0.5, "temperature": 2.0}})
    assert taught["losses"] == {"kl": 0.5, "temperature": 2.0}
    assert given["training"]["checkpoint_every"] == 100


def test_a_damaged_journal_is_set_aside(place, capsys):
    record_stage("broken")
    (folder,) = journals()
    (folder / "events.jsonl").write_text("{\n")
    record_stage("whole")
    assert sender.serve() and not journals()
    assert [run.info.run_name for run in runs()] == ["whole"]
    assert f".damaged-{folder.name}: cannot be delivered" in capsys.readouterr().err
