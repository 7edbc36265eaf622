"""The whole pipeline, real, at the size of a minute: under DVC and under Prefect."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from diminuendo.artifact.lineage import verified_record
from diminuendo.core.files import sha256_of
from tests.factories.minute import DVC, minute_params
from tests.factories.project import run

pytestmark = pytest.mark.timeout(900)  # two pipelines and a half

MEMBERS = [
    "teacher",
    "student",
    "taught",
    "teacher-lowrank",
    "student-slim",
    "taught-slim",
    "teacher-int8",
    "student-slim-int8",
]


@pytest.fixture
def projects(minute_projects):
    return minute_projects


def digests(project):
    return {str(path.relative_to(project)): sha256_of(path) for path in sorted(project.glob("models/*/*"))}


def test_flow_and_dvc_give_the_same_bytes(projects):
    assert sorted(path.name for path in (projects / "repro/models").iterdir()) == sorted(MEMBERS)
    assert digests(projects / "repro") == digests(projects / "flow")
    locks = [yaml.safe_load((projects / name / "dvc.lock").read_text())["stages"] for name in ("repro", "flow")]
    assert list(locks[0]) == list(locks[1])
    for stage in set(locks[0]) - {"evaluate", "report"}:  # these two hold measured times
        assert locks[0][stage] == locks[1][stage]


def test_the_index_names_what_the_corpus_was_made_from(projects):
    index = json.loads((projects / "repro/data/index.json").read_text())
    files = json.loads((projects / "repro/data/prepared/sources.json").read_text())["files"]
    assert index == {"data.collected": {}} | files


def test_every_file_leads_back_to_its_corpus(projects):
    project = projects / "repro"
    corpus = json.loads((project / "data/prepared/corpus.json").read_text())["digest"]
    records = {name: verified_record(project / "models" / name) for name in MEMBERS}
    assert {record["corpus"] for record in records.values()} == {corpus}
    for name, record in records.items():
        parent = record["parameters"].get("from")
        expected = {parent: records[parent]["files"]["model.onnx"]} if parent else {}
        assert expected.items() <= record["parents"].items(), name


def test_every_stage_is_a_run_and_the_flow_holds_its_own(projects):
    from mlflow import MlflowClient

    for name, nested in (("repro", 0), ("flow", 12)):
        client = MlflowClient(f"sqlite:///{projects / name / 'mlflow.db'}")
        runs = client.search_runs([client.get_experiment_by_name("diminuendo").experiment_id])
        assert {run.info.status for run in runs} == {"FINISHED"}
        stages = [run for run in runs if "stage" in run.data.tags]
        assert len(stages) == 12
        assert sum("mlflow.parentRunId" in run.data.tags for run in stages) == nested
        outputs = {run.data.tags["member"]: run.data.tags.get("output") for run in stages}
        for member in MEMBERS:
            assert outputs[member] == sha256_of(projects / name / "models" / member / "model.onnx")
        page = (projects / name / "reports/leaderboard.md").read_text()
        assert all(run.info.run_id[:12] in page for run in stages if run.data.tags["member"] in MEMBERS)


def test_figures_are_there_for_dvc(projects):
    shown = json.loads(run(projects / "repro", *DVC, "metrics", "show", "--json").stdout)
    rows = shown[""]["data"]
    assert sorted(rows) == sorted(f"reports/summary/{member}.json" for member in MEMBERS)
    assert {len(row["data"]) for row in rows.values()} == {6}
    done = run(projects / "repro", *DVC, "plots", "show")
    page = projects / "repro/dvc_plots/index.html"
    assert page.exists(), done.stderr
    assert "wer_vs_bytes.png" in page.read_text() and "//" not in page.read_text()  # it is whole without a network


def test_one_parameter_reruns_what_depends_on_it_and_nothing_else(projects):
    project = projects / "repro"
    before = digests(project)
    done = run(project, *DVC, "exp", "run", "-S", "distill.student.training.epochs=3", DIMINUENDO_TRACKING="off")
    again = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
    assert again == {
        "index",
        "distill@student",
        "prune@student-slim",
        "quantize@student-slim-int8",
        "evaluate",
        "report",
    }
    changed = {Path(path).parts[1] for path, digest in digests(project).items() if digest != before[path]}
    assert changed == {"student", "student-slim", "student-slim-int8"}
    assert "distill.student.training.epochs" in run(project, *DVC, "params", "diff").stdout
    compared = run(project, *DVC, "metrics", "diff", "--all").stdout
    assert re.search(r"reports/summary/student\.json +WER_%", compared), compared
    assert minute_params()["distill"]["student"]["training"]["epochs"] == 2


def test_the_teachers_first_steps_can_be_timed_with_any_number_of_threads(minute_projects):
    done = run(minute_projects / "repro", sys.executable, "-m", "stages.measure_threads", "1", "2")
    seconds = json.loads(done.stdout.splitlines()[-1])
    assert list(seconds) == ["1", "2"] and all(0 < taken < 60 for taken in seconds.values())
