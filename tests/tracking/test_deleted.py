"""What is deleted in MLflow while it is written holds up no other record."""

import os
from pathlib import Path

import pytest

from diminuendo import tracking
from diminuendo.tracking import sender
from diminuendo.tracking.delivery import Delivery
from diminuendo.tracking.journal import journals
from diminuendo.tracking.refusal import ExperimentGone
from tests.factories.recording import begun, client, close, names, record_stage, runs


def purge(run):
    store = client()._tracking_client.store
    store.delete_run(run)
    store._hard_delete_run(run)


@pytest.mark.parametrize("delete", [lambda run: client().delete_run(run), purge])
@pytest.mark.parametrize("killed", [True, False])
def test_a_run_deleted_while_its_stage_works_holds_up_no_other(told, delete, killed):
    stage, track, run = begun()
    delete(run)
    track.metrics({"loss": 0.5}, step=2)
    if killed:
        track._journal._lock.release()  # no end is written
    record_stage("other")
    if not killed:
        close(stage)
    assert sender.serve() and not journals()
    assert names() == ["other"]
    assert "the run of student was deleted in MLflow: what it still had to record is left out" in told()
    assert told() == ""  # once


def test_a_stage_whose_run_was_deleted_goes_on_writing(told):
    stage, track, run = begun()
    client().delete_run(run)
    track.metrics({"loss": 0.5}, step=2)
    (folder,) = journals()
    Delivery().carry(folder)
    Path("file").write_text("kept")
    track.artifact("file")
    close(stage)
    assert track._journal.lost == 0
    assert sender.serve() and not journals()


def test_a_stage_stands_alone_when_the_pipeline_s_run_was_deleted(told):
    with tracking.pipeline_run("repro", seconds=0):
        record_stage("first")
        for folder in reversed(journals()):
            Delivery().carry(folder)
        (pipeline,) = runs("tags.`mlflow.runName` = 'repro'")
        client().delete_run(pipeline.info.run_id)
        record_stage("second")
    assert sender.serve() and not journals()
    (second,) = runs("tags.member = 'second'")
    assert "mlflow.parentRunId" not in second.data.tags and second.info.status == "FINISHED"


def test_an_experiment_deleted_while_delivering_is_restored_and_told(told):
    stage, track, run = begun()
    open_already = Delivery()
    client().delete_experiment(runs()[0].info.experiment_id)
    track.metrics({"loss": 0.5}, step=2)
    close(stage)
    with pytest.raises(ExperimentGone):  # and the sender opens the store anew
        open_already.carry(journals()[0])
    record_stage("other")
    assert sender.serve() and names() == ["other", "student"]
    assert client().get_run(run).data.metrics["loss"] == 0.5
    assert "the experiment diminuendo had been deleted in MLflow; it is restored" in told()


def test_a_store_that_was_lost_gets_the_whole_run_again(told, fresh_store):
    stage, track, _ = begun()
    track.metrics({"loss": 0.5}, step=2)
    sender_of_before = Delivery()
    os.remove("mlflow.db")
    with pytest.raises(Exception, match="no such table"):
        sender_of_before.carry(journals()[0])  # not into a file that has no name any more
    close(stage)
    assert sender.serve() and not journals()
    (run,) = runs()
    assert [point.value for point in client().get_metric_history(run.info.run_id, "loss")] == [1.0, 0.5]
    assert "student is recorded again from its start" in told()


def test_a_model_whose_run_was_deleted_leaves_the_other_figures(told):
    gone, kept = record_stage("gone"), record_stage("kept", value=2.0)
    sender.serve()
    (run,) = runs("tags.member = 'gone'")
    client().delete_run(run.info.run_id)
    with tracking.stage_run("evaluate", "evaluate", {}, {}) as track:
        track.model_metrics(gone, {"wer": 0.5})
        track.model_metrics(kept, {"wer": 0.25})
    assert sender.serve()
    assert runs("tags.member = 'kept'")[0].data.metrics["wer"] == 0.25
    assert "the figures that evaluate measured of 1 model(s) are only in its files" in told()


def test_a_deleted_model_leaves_the_run(told):
    digest = record_stage()
    sender.serve()
    (model,) = client().search_logged_models([runs()[0].info.experiment_id])
    client().delete_logged_model(model.model_id)
    with tracking.stage_run("evaluate", "evaluate", {}, {"input.student": digest}) as track:
        track.model_metrics(digest, {"wer": 0.5})
    assert sender.serve() and names() == ["evaluate", "student"]
    assert "of 1 model(s)" in told()
