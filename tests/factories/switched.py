"""A repository whose ``params.yaml`` was replaced by that of a user's own recordings, and its teacher."""

from __future__ import annotations

import sys
from pathlib import Path

from diminuendo.compression.registry import FAMILY_SECTIONS
from tests.factories.audio import dummy_corpus
from tests.factories.minute import make_minute_project, minute_params, write_minute_params
from tests.factories.project import run

PARAMS = "params/voices.yaml"  # committed; its data.path names no folder of this machine


def voices_params() -> dict:
    """Recordings instead of synthesis, and no member but the teacher, which hears them once."""
    params = minute_params()
    params["data"] |= {"source": "manifest", "path": "../not-here", "sample_rate": 8000, "min_seconds": 0.1}
    params["frontend"] |= {"high_hz": 3800.0, "mels": 24}
    params["teacher"]["training"] = {"epochs": 1}
    return params | {"synthesis": None} | {section: {} for section in ("label", *FAMILY_SECTIONS)}


def make_switched_project(place: Path, path: str = "../../speech") -> Path:
    """The repository ``place/home/project``: switched by ``use --set data.path``, run, and nothing committed since.

    Args:
        path: ``data.path``, which is to mean ``place/speech``.
    """
    project = make_minute_project(place / "home/project")
    write_minute_params(project / PARAMS, voices_params())
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "parameters of the voices")
    dummy_corpus(place / "speech")
    run(project, sys.executable, "-m", "diminuendo.cli", "use", PARAMS, "--set", f"data.path={path}")
    run(project, sys.executable, "-m", "dvc", "repro", "train_teacher", DIMINUENDO_TRACKING="off")
    return project


def commit_results(project: Path) -> str:
    """Commit as the README tells users to; returns the commit."""
    run(project, "git", "add", "params.yaml", "dvc.lock")
    run(project, "git", "commit", "-qm", "the voices")
    return run(project, "git", "rev-parse", "HEAD").stdout.strip()
