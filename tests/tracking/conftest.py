import shutil

import pytest


@pytest.fixture
def place(tmp_path, monkeypatch, fresh_store):
    """A working directory with a store of its own, where no sender is started but the test's."""
    from diminuendo.tracking import lookup, track

    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "DIMINUENDO_TRACKING", "DIMINUENDO_PIPELINE", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(track, "start_sender", lambda: None)
    monkeypatch.setattr(lookup, "start_sender", lambda: None)
    lookup._store.cache_clear()
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    yield tmp_path
    lookup._store.cache_clear()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it where it is told an address
