"""One thing that MLflow refuses leaves all others, and is told."""

import json
import math

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, INVALID_PARAMETER_VALUE

from diminuendo import tracking
from diminuendo.tracking import sender
from diminuendo.tracking.delivery import Delivery
from diminuendo.tracking.journal import EVENTS, journals
from tests.factories.recording import client, names, onnx_file, record_stage, refuse, runs


def test_a_name_that_mlflow_refuses_is_changed_and_nothing_is_lost(told):
    with tracking.stage_run("quantize", "teacher-int8", {}, {}) as track:
        track.summary({"wer": 0.1, "bytes_of": {"scales, biases and norms": 7, "scales; biases and norms": 8}})
    assert sender.serve()
    metrics = runs()[0].data.metrics
    assert sorted(metrics.values()) == [0.1, 7, 8] and told() == ""


INVALID = MlflowException("no such thing", error_code=INVALID_PARAMETER_VALUE)
BROKEN = MlflowException("the server stumbled over it")  # INTERNAL_ERROR


@pytest.mark.parametrize("error", [INVALID, BROKEN, ValueError("not JSON")])
def test_one_figure_that_is_refused_leaves_all_others_and_is_told_once(told, monkeypatch, error):
    def has_bad(run, metrics=(), **_):
        return any(metric.key == "bad" for metric in metrics)

    refuse(monkeypatch, "log_batch", has_bad, error)
    with tracking.stage_run("distill", "student", {}, {}) as track:
        for step in range(20):
            track.metrics({"good": step, "bad": step, "fine": step}, step=step)
        track.summary({"wer": 0.5, "bad": 1})
    record_stage("other")
    assert sender.serve() and not journals()
    (run,) = runs("tags.member = 'student'")
    assert run.data.metrics == {"good": 19, "fine": 19, "wer": 0.5} and run.info.status == "FINISHED"
    assert len(client().get_metric_history(run.info.run_id, "good")) == 20
    text = told()
    assert text.count("1 figure of student was refused by MLflow (bad): ") == text.count("\n") == 1
    assert told() == ""


@pytest.mark.parametrize("call", ["log_inputs", "search_logged_models", "set_terminated", "create_logged_model"])
def test_a_server_without_a_call_loses_only_what_needs_it(told, monkeypatch, call):
    refuse(monkeypatch, call, lambda *_, **__: True, MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND))
    record_stage(parents={"input.teacher": "abc"})
    record_stage("other")
    assert sender.serve() and not journals() and names() == ["other", "student"]
    assert all(run.data.metrics["dev/wer"] == 0.25 and run.data.params["from"] == "teacher" for run in runs())
    assert call == "log_inputs" or "refused" in told()  # there is no model to be linked


def test_parameters_and_tags_that_are_too_long_are_cut_and_told(told):
    params = {"names": "n" * 7000, "k" * 300: 1, "bad, name": 2, "good": 3}
    with tracking.stage_run("distill", "student", params, {"long": "t" * 9000}) as track:
        track.describe("d" * 9000)
        track.metrics({"m" * 300: 1.0})
    assert sender.serve()
    (run,) = runs()
    assert len(run.data.params["names"]) == 6000 and sorted(map(len, run.data.params)) == [4, 5, 18, 250]
    assert len(run.data.tags["long"]) == 8000 and len(run.data.metrics) == 1
    assert "1 parameter of student is longer than MLflow takes, and cut to 6000 characters: names" in told()


def test_a_parameter_that_has_another_value_already_leaves_the_rest(told):
    record_stage()
    (folder,) = journals()
    delivery = Delivery()
    start = json.loads((folder / EVENTS).read_text().splitlines()[0])
    made = delivery._run_for(folder, start, {}, None)
    client().log_param(made, "from", "somebody else")
    assert sender.serve()
    (run,) = runs("tags.member = 'student'")
    assert run.data.params == {"from": "somebody else", "training.epochs": "3"} and run.info.status == "FINISHED"
    assert "1 parameter of student was refused by MLflow (from)" in told()


def test_what_is_not_a_number_is_not_shown_as_zero(told):
    with tracking.stage_run("distill", "student", {}, {}) as track:
        track.summary({"dev/wer": 0.25, "kl": math.nan, "ppl": math.inf})
        digest = onnx_file("model.onnx")
        track.model("model.onnx", digest)
    with tracking.stage_run("evaluate", "evaluate", {}, {}) as track:
        track.model_metrics(digest, {"wer": math.nan, "cer": 0.5})
        track.metrics({"loss": math.inf}, step=1)
    assert sender.serve()
    (run,) = runs("tags.member = 'student'")
    assert math.isnan(run.data.metrics["wer"]) and run.data.metrics["cer"] == 0.5
    (model,) = client().search_logged_models([run.info.experiment_id])
    assert {metric.key for metric in model.metrics} == {"dev/wer", "ppl", "cer"}
    text = told()
    assert "not a number (wer)" in text and "not a number (kl)" in text
