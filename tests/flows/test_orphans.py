from diminuendo.tracking.delivery import JOURNAL_TAG, WORKSPACE_TAG
from diminuendo.tracking.journal import OUTBOX
from diminuendo.tracking.store import open_client


def test_a_run_that_lost_its_journal_is_ended_with_the_reason(tmp_path, monkeypatch):
    """What is left when the worktree's outbox was removed, or its disk lost, while a stage ran."""
    from flows.retrain import close_orphans

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIMINUENDO_TRACKING", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    close_orphans.fn()
    assert not (tmp_path / "mlflow.db").exists()  # nothing to look after

    client, experiment = open_client()
    ours = {JOURNAL_TAG: "gone", WORKSPACE_TAG: str(OUTBOX.resolve())}
    orphan = client.create_run(experiment, tags=ours).info.run_id
    other = client.create_run(experiment, tags={**ours, WORKSPACE_TAG: "elsewhere"}).info.run_id
    close_orphans.fn()
    ended = client.get_run(orphan)
    assert ended.info.status == "KILLED" and ended.data.tags["error"] == "its process was killed"
    assert client.get_run(other).info.status == "RUNNING"
