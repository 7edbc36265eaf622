"""A technique is added by its package, a line of the registry and a section of ``dvc.yaml``; all else finds it."""

from __future__ import annotations

import csv
import json
import shutil
import sys

import pytest
import yaml

from diminuendo.artifact.code import modules_of
from diminuendo.artifact.lineage import verified_record
from diminuendo.compression.registry import TECHNIQUES
from stages.making import SAME
from tests.factories.clipping import add_clipping
from tests.factories.minute import BRIEF, DVC, minute_params, write_minute_params
from tests.factories.project import ROOT, make_project, run

MEMBERS = {"clipped": {"from": "teacher", "share": 0.05, "training": BRIEF}}
NODE = 'self.g.op("Expand", self.positions, rows)'  # of the graph writer
FILES = ("config.json", "model.safetensors", "model.onnx", "history.csv", "training.json", "summary.json")
OFF = {"DIMINUENDO_TRACKING": "off"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A teacher and a member of the added technique, by ``dvc repro``; and which files the addition touched."""
    folder = tmp_path_factory.mktemp("added") / "project"
    shutil.copytree(ROOT / "corpora", folder / "corpora")
    params = {key: value for key, value in minute_params().items() if key not in TECHNIQUES}  # absent: no member
    write_minute_params(folder / "params.yaml", params)
    make_project(folder, (ROOT / "dvc.yaml").read_text())
    write_minute_params(folder / "params.yaml", params | {"clip": MEMBERS})
    add_clipping(folder)
    run(folder, sys.executable, "-m", "stages.dependencies")
    touched = run(folder, "git", "status", "--porcelain", "--untracked-files=all").stdout
    run(folder, *DVC, "repro", **OFF)
    return folder, sorted(line[3:] for line in touched.splitlines())


def test_it_is_found_everywhere_and_touches_nothing_else(project):
    folder, touched = project
    doors = ("__init__", "config", "description", "technique", "writing")
    assert touched == [
        *(f"diminuendo/compression/clipping/{door}.py" for door in doors),
        "diminuendo/compression/registry.py",
        "dvc.yaml",
        "params.yaml",
    ]
    record = verified_record(folder / "models/clipped")
    assert record["stage"] == "clip" and record["parameters"]["share"] == 0.05
    assert record["parents"] == {"teacher": verified_record(folder / "models/teacher")["files"]["model.onnx"]}
    assert json.loads((folder / "models/clipped/summary.json").read_text())["clipped"] > 0
    rows = {row["member"]: row for row in csv.DictReader((folder / "reports/leaderboard.csv").open())}
    assert rows["clipped"]["chain"] == "teacher → clip 5 %"
    assert "clipped" in json.loads((folder / "reports/metrics.json").read_text())
    assert "diminuendo.compression.clipping.technique" in modules_of("clip", folder)
    assert not any("clipping" in name for name in modules_of("train_teacher", folder))


def test_an_edit_of_the_graph_writer_trains_nothing(project):
    folder, _ = project
    files = [folder / "models" / name / file for name in ("teacher", "clipped") for file in FILES]
    before = {path: path.read_bytes() for path in files}
    writer = folder / "diminuendo/models/onnx_layers.py"
    assert writer.read_text().count(NODE) == 1
    writer.write_text(writer.read_text().replace(NODE, f'self.g.op("Identity", {NODE})'))
    done = run(folder, *DVC, "repro", **OFF)
    assert done.stdout.count(SAME) == 2 and "step/s" not in done.stderr
    changed = {
        str(path.relative_to(folder / "models")) for path, content in before.items() if path.read_bytes() != content
    }
    assert changed == {"teacher/model.onnx", "clipped/model.onnx"}
    for name in ("teacher", "clipped"):
        digest = verified_record(folder / "models" / name)["files"]["model.onnx"]
        assert json.loads((folder / "evaluation/metrics.json").read_text())["members"][name]["digest"] == digest


def test_a_member_that_is_taken_out_leaves_the_leaderboard(project):
    folder, _ = project
    params = yaml.safe_load((folder / "params.yaml").read_text())
    del params["clip"]
    write_minute_params(folder / "params.yaml", params)
    said = run(folder, *DVC, "repro", **OFF).stdout
    assert "Running stage 'evaluate'" in said and "Running stage 'report'" in said
    assert "Running stage 'train_teacher'" not in said
    assert list(json.loads((folder / "evaluation/metrics.json").read_text())["members"]) == ["teacher"]
    rows = list(csv.DictReader((folder / "reports/leaderboard.csv").open()))
    assert [row["member"] for row in rows] == ["teacher"]
