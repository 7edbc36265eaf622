"""What every test relies on."""

import os

# One thread, whatever the machine has: tests are small, and as many threads as before give the bytes of before.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

from tests.factories.minute import run_minute_pipelines

# The same examples every time, and no clock: other work may share the machine.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def same_environment():
    """What a test, or a flow that runs in it, leaves in the environment does not reach the next."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def minute_projects(tmp_path_factory):
    """The whole pipeline, real, at the size of a minute: ``repro`` and ``flow`` in one folder; change copies only."""
    return run_minute_pipelines(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory):
    """An empty MLflow database, made once: its migrations take seconds."""
    from diminuendo.tracking.database import make_ready

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_ready(path, print)
    return path
