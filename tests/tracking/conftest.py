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


@pytest.fixture
def patient(monkeypatch):
    """A sender that gives up in a test's time."""
    from diminuendo.tracking import sender

    monkeypatch.setattr(sender, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(sender, "LONGEST_PAUSE_AT_THE_END", 0.02)
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 5.0)


@pytest.fixture
def told(place, capsys, patient):
    """What the terminal shows after a delivery: a function, since it is told once."""
    from diminuendo.tracking.track import deliver

    def lines():
        capsys.readouterr()
        deliver(0.0)
        return capsys.readouterr().err

    return lines
