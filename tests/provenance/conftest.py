"""A copy, for each test, of what a module built once as ``built``: a project in ``home/project``, and what it reads."""

import shutil

import pytest


@pytest.fixture
def place(built, tmp_path):
    shutil.copytree(built, tmp_path / "place", symlinks=True)
    return tmp_path / "place"


@pytest.fixture
def project(place, monkeypatch):
    monkeypatch.chdir(place / "home/project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return place / "home/project"
