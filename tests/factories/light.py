"""An installation by `pip install .` alone, in a process of an environment that has everything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.factories.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOOK = Path(__file__).with_name("light_installation")


def canonical(name: str) -> str:
    """A distribution's name as package indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def modules_by_distribution() -> dict[str, set[str]]:
    """Canonical name of every installed distribution to its top modules."""
    found: dict[str, set[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for distribution in distributions:
            found.setdefault(canonical(distribution), set()).add(module)
    return found


def light_modules() -> set[str]:
    """Top modules of the dependencies in ``pyproject.toml``, and of what those depend on, however indirectly."""
    waiting, taken = list(PROJECT["dependencies"]), set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonical(requirement.name)
        if name not in taken and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            taken.add(name)
            waiting += metadata.requires(name) or []
    modules = modules_by_distribution()
    return {module for name in taken for module in modules.get(name, ())}


def run_light(folder: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """``python`` with these arguments in ``folder``, where the rest of the environment cannot be imported."""
    # The installation in the environment is of another checkout perhaps, so ours comes first.
    own = {"PYTHONPATH": f"{HOOK}:{ROOT}", "LIGHT": ",".join({"diminuendo", *light_modules()})}
    left = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DIMINUENDO_"))}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env={**left, **own}, input=given, capture_output=True)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
