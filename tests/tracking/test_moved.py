"""A repository of any name, and one that was moved or copied: MLflow reads and writes where the repository is."""

import shutil
from pathlib import Path

import pytest

from diminuendo import registry
from diminuendo.core.files import sha256_of
from diminuendo.tracking.address import local_path, sqlite_file, sqlite_uri
from diminuendo.tracking.delivery import Delivery
from diminuendo.tracking.journal import journals
from diminuendo.tracking.store import open_client, open_existing
from tests.factories.recording import record_stage

NAMES = ["a%20b", "what?now", "c#sharp", "mit leerzeichen", "ünï-码", "it's", "100%", "file:x"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_an_address_leads_back_to_its_path(name):
    path = Path("/somewhere", name, "mlflow.db")
    assert sqlite_file(sqlite_uri(path)) == path
    assert local_path((path.parent / "mlartifacts").as_uri()) == path.parent / "mlartifacts"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////abs/mlflow.db?timeout=5", "/abs/mlflow.db"),
        ("sqlite:///file:/a%20b/x.db?mode=rw&uri=true", "/a b/x.db"),
        ("sqlite://", None),
        ("postgresql://host/mlflow", None),
    ],
)
def test_addresses_that_a_user_may_set(uri, path):
    assert sqlite_file(uri) == (path and Path(path))


def recorded(folder, monkeypatch, fresh_store):
    """A repository with one recorded model, its digest, and the place of the model in MLflow."""
    folder.mkdir(parents=True)
    work_in(folder, monkeypatch)
    monkeypatch.setattr("diminuendo.tracking.track.start_sender", lambda: None)
    if not (folder / "mlflow.db").exists():
        shutil.copy(fresh_store, "mlflow.db")
    digest = record_stage()
    deliver()
    return digest


def work_in(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it where it is told an address


def deliver():
    delivery = Delivery()
    for journal in journals():
        delivery.carry(journal)


def logged(digest):
    client, experiment = open_existing()
    (model,) = client.search_logged_models([experiment], f"tags.digest = '{digest}'")
    return local_path(model.artifact_location) / "model.onnx"


@pytest.mark.parametrize("name", ["a%20b", "what?now", "c#sharp ü"], ids=["percent", "question", "sharp"])
def test_artifacts_come_to_lie_in_the_repository_whatever_its_name(name, tmp_path, monkeypatch, fresh_store):
    digest = recorded(tmp_path / "home" / name, monkeypatch, fresh_store)
    assert [path.name for path in (tmp_path / "home").iterdir()] == [name]
    assert logged(digest).is_relative_to(tmp_path / "home" / name) and sha256_of(logged(digest)) == digest
    target = tmp_path / "fetched.onnx"
    (model,) = open_existing()[0].search_logged_models([open_existing()[1]])
    registry.version.save_model(f"models:/{model.model_id}", digest, target)
    assert sha256_of(target) == digest


@pytest.mark.parametrize("copied", [False, True])
def test_a_store_follows_its_repository(copied, tmp_path, monkeypatch, fresh_store, capsys):
    """Moved, the old place is gone; copied, it is there and is another store's."""
    old, new = tmp_path / "old", tmp_path / "new %20?"
    digest = recorded(old, monkeypatch, fresh_store)
    monkeypatch.chdir(tmp_path)
    (shutil.copytree if copied else shutil.move)(old, new)
    work_in(new, monkeypatch)
    assert logged(digest) == new / logged(digest).relative_to(new) and sha256_of(logged(digest)) == digest
    assert "was moved or copied here" in capsys.readouterr().err
    assert open_existing() and "moved" not in capsys.readouterr().err  # told once
    second = record_stage("other", value=2.0)
    deliver()
    assert logged(second).is_relative_to(new)
    client, experiment = open_client()
    assert local_path(client.get_experiment(experiment).artifact_location) == new / "mlartifacts"
    assert {local_path(run.info.artifact_uri).parents[1] for run in client.search_runs([experiment])} == {
        new / "mlartifacts"
    }
    if copied:
        work_in(old, monkeypatch)
        assert logged(digest).is_relative_to(old)


def test_a_place_that_a_user_chose_is_left(tmp_path, monkeypatch, fresh_store):
    """Artifacts of the same name on a larger disk, and none beside the database."""
    digest = recorded(tmp_path / "p", monkeypatch, fresh_store)
    elsewhere = tmp_path / "large/mlartifacts"
    shutil.move("mlartifacts", elsewhere)
    import sqlite3

    with sqlite3.connect("mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("logged_models", "artifact_location")):
            sql = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(sql, ((tmp_path / "p/mlartifacts").as_uri(), elsewhere.as_uri()))
    database.close()
    assert logged(digest).is_relative_to(elsewhere)
    (tmp_path / "p/mlartifacts").mkdir()
    assert logged(digest).is_relative_to(elsewhere)


def test_the_digests_of_all_that_is_logged_are_noted(tmp_path, monkeypatch, fresh_store):
    """So that damage to MLflow's copies can be found."""
    from diminuendo.provenance.places import Places
    from diminuendo.provenance.verify_state import verify_mlflow_files

    recorded(tmp_path / "p", monkeypatch, fresh_store)
    files = [path for path in (tmp_path / "p/mlartifacts").rglob("*") if path.is_file()]
    assert {"MLmodel", "model.onnx", "python_env.yaml", "requirements.txt"} <= {path.name for path in files}

    def bad():
        return [finding.where for finding in verify_mlflow_files(Places(None)) if finding.is_bad]

    assert bad() == []
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert bad() == [str(path)]
        path.unlink()
        assert bad() == [str(path)]
        path.write_bytes(content)
