"""A repository of its own for a test: our sources, with any ``dvc.yaml``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("diminuendo", "stages", "flows", "corpora", "params.yaml", ".dvcignore", ".gitignore")

# Three stages and two branches of milliseconds, with the names of a real family.
SMALL_DVC_YAML = """
stages:
  first:
    cmd: echo first is running && mkdir -p models/first && cp source models/first/m
    deps: [source]
    outs: [models/first]
  branch:
    foreach: [left, right]
    do:
      cmd: mkdir -p models/${item} && cat models/first/m > models/${item}/m && echo ${item} >> models/${item}/m
      deps: [models/first]
      outs: ["models/${item}"]
  last:
    cmd: mkdir -p reports && cat models/*/m > reports/leaderboard.md
    deps: [models]
    outs: [reports]
"""


def make_project(folder: Path, dvc_yaml: str = SMALL_DVC_YAML) -> Path:
    """Fill ``folder`` with a committed git repository and DVC project; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir() and not (folder / name).exists():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not source.is_dir() and not (folder / name).exists():
            shutil.copy2(source, folder / name)
    (folder / "dvc.yaml").write_text(dvc_yaml)
    (folder / "source").write_text("1\n")
    run(folder, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org"), ("gc.auto", "0")):
        run(folder, "git", "config", key, value)
    run(folder, sys.executable, "-m", "dvc", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    return folder


def run(folder: Path, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    """Run a command in ``folder`` as a user with the environment activated would."""
    done = subprocess.run(command, cwd=folder, env=environment(**env), capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def environment(**env: str) -> dict[str, str]:
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    quiet = {"DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **quiet, "PATH": path, "SHELL": "/bin/sh", **env}
