"""Imports point one way: the contracts of ``pyproject.toml`` hold, cover every package, and are what the docs draw."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from diminuendo.compression.registry import TECHNIQUES
from tests.factories.project import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract for contract in SETTINGS["contracts"]}


def lint(folder: Path) -> subprocess.CompletedProcess:
    """``lint-imports`` on the checkout in ``folder``."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)


def packages_in(folder: str) -> set[str]:
    return {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}


def test_every_contract_is_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("diminuendo/core/errors.py", "import diminuendo.cli.errors", "Imports point downwards"),
        ("diminuendo/gate/wording.py", "import diminuendo.gate.table", "No circles among packages or modules"),
        ("diminuendo/gate/limit.py", "import flows.lock", "The library knows neither stages nor flows"),
        ("diminuendo/runtime/ctc.py", "import torch", "imports neither torch nor what trains"),
        ("diminuendo/runtime/ctc.py", "import diminuendo.features.log_mel", "imports neither torch nor what trains"),
        (
            "diminuendo/report/rows.py",
            "import diminuendo.models.conformer.module",
            "A family of models is known to its own package",
        ),
    ],
)
def test_a_forbidden_import_is_found_even_inside_a_function(tmp_path, file, line, broken):
    for name in SETTINGS["root_packages"]:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / file, "a") as source:
        source.write(f"\n\ndef late():\n    {line}\n")
    done = lint(tmp_path)
    found = [line for line in done.stdout.splitlines() if broken in line and " BROKEN" in line]
    assert done.returncode == 1 and found, done.stdout


def test_every_family_has_its_walls():
    families = {name.rsplit(".", 1)[1] for name in CONTRACTS["families"]["protected_modules"]}
    assert families == packages_in("diminuendo/models")


# A student of written texts is a student, and one that is pruned along them reads them as a student does.
EXTENDS = {
    "diminuendo.compression.label_distillation": ("diminuendo.compression.distillation",),
    "diminuendo.compression.label_pruning": (
        "diminuendo.compression.label_distillation",
        "diminuendo.compression.pruning",
    ),
}


def test_no_technique_imports_another():
    """By the registry, so that a technique that is added there is held to it without a line elsewhere."""
    graph = grimp.build_graph("diminuendo", cache_dir=None)
    packages = list(TECHNIQUES.values())
    assert {name.rpartition(".")[2] for name in packages} == packages_in("diminuendo/compression")
    for one in packages:
        others = [name for name in packages if name not in (one, *EXTENDS.get(one, ()))]
        inside = [one, *graph.find_descendants(one)]
        found = {imported for module in inside for imported in graph.find_modules_directly_imported_by(module)}
        assert not [name for name in found if name.startswith(tuple(f"{other}." for other in others))]


def test_the_picture_of_the_layers_is_the_contract():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    drawn = [re.split(r"\s{2,}", line.strip("│ "))[0].split(" · ") for line in picture.splitlines() if line[0] == "│"]
    layers = [layer.split(" | ") for layer in CONTRACTS["layers"]["layers"]]
    assert drawn == [["flows"], ["stages"], *layers]
