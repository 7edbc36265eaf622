"""Several families in one checkout: outputs and lock a family each, made by the same stages."""

import sys

import pytest
import yaml

from diminuendo.family import Family, family_of
from flows.side_pipeline import pipeline_of
from tests.factories.project import ROOT, make_project, run

PIPELINE = """
stages:
  first:
    cmd: python -m stages.tiny first
    deps: [source]
    params: [seed]
    outs: [models/first]
  last:
    cmd: python -m stages.tiny last
    deps: [models/first]
    outs: [reports]
"""
STAGE = """
import sys, yaml
from diminuendo.family import current
family = current()
if sys.argv[1] == "first":
    family.models.joinpath("first").mkdir(parents=True)
    seed = yaml.safe_load(family.params.read_text())["seed"]
    family.models.joinpath("first/m").write_text(f"{seed}")
else:
    family.reports.mkdir(parents=True)
    family.reports.joinpath("leaderboard.md").write_text(family.models.joinpath("first/m").read_text())
"""


def repro(project, *arguments, check=True, **env):
    quiet = {"DIMINUENDO_TRACKING": "off", **env}
    return run(project, sys.executable, "-m", "flows.repro", *arguments, check=check, **quiet)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("families") / "p", PIPELINE)
    (project / "stages/tiny.py").write_text(STAGE)
    (project / "params").mkdir()
    other = (project / "params.yaml").read_text().replace("seed: ", "seed: 1")
    (project / "params/other.yaml").write_text(other)
    return project


def test_one_after_the_other_and_going_back_runs_nothing(project):
    own = repro(project)
    assert "params.yaml: 2 of 2 stages to run" in own.stdout
    other = repro(project, DIMINUENDO_PARAMS="params/other.yaml")
    assert "params/other.yaml: 2 of 2 stages to run" in other.stdout
    seed = (project / "models/first/m").read_text()
    assert (project / "families/other/models/first/m").read_text() == f"1{seed}"
    assert (project / "families/other/reports/leaderboard.md").read_text() == f"1{seed}"
    assert (project / "reports/leaderboard.md").read_text() == seed
    assert "all 2 stages are up to date" in repro(project).stdout
    assert "all 2 stages are up to date" in repro(project, DIMINUENDO_PARAMS="params/other.yaml").stdout
    locks = [yaml.safe_load((project / name).read_text()) for name in ("dvc.lock", "families/other/dvc.lock")]
    assert [list(lock["stages"]) for lock in locks] == [["first", "last"]] * 2
    # DVC alone is enough, for either of them.
    done = run(project, sys.executable, "-m", "dvc", "repro", "families/other/dvc.yaml")
    assert done.stdout.count("didn't change, skipping") == 2


def test_a_run_says_what_it_would_do_and_which_stage_it_is_at(project):
    path = project / "params/other.yaml"
    path.write_text(path.read_text().replace("seed: ", "seed: 2"))
    plan = repro(project, "--plan", DIMINUENDO_PARAMS="params/other.yaml").stdout
    assert "2 of 2 stages to run" in plan and "about" in plan
    assert (project / "families/other/models/first/m").read_text() != yaml.safe_load(path.read_text())["seed"]
    said = repro(project, DIMINUENDO_PARAMS="params/other.yaml").stdout
    for expected in ("[1/2] first begins", "[1/2] first: made anew", "[2/2] last begins", "[2/2] last: made anew"):
        assert expected in said
    assert "all 2 stages are up to date" in repro(project).stdout


def test_a_parameter_file_that_is_not_there_or_has_no_home_is_one_message(project):
    for name, words in {"params/none.yaml": "cannot be read", "else.yaml": "params/NAME.yaml"}.items():
        done = repro(project, check=False, DIMINUENDO_PARAMS=name)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_the_families_of_this_repository_are_up_to_date_with_its_pipeline():
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    homes = sorted((ROOT / "families").glob("*/dvc.yaml"))
    for path in homes:
        family = family_of(f"params/{path.parent.name}.yaml")
        assert path.read_text() == pipeline_of(family, root), f"DIMINUENDO_PARAMS={family.params} python -m flows.repro"


def test_every_output_of_the_root_has_another_place(tmp_path):
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    moved = yaml.safe_load(pipeline_of(Family(family_of("params/x.yaml").params), root))
    for stage in moved["stages"].values():
        stage = stage.get("do", stage)
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
        assert all(out.startswith("families/x/") for out in outs)
        assert stage["wdir"] == "../.." and stage["cmd"].startswith("DIMINUENDO_PARAMS=params/x.yaml ")
        assert all(not dep.startswith(("models", "data/prepared", "evaluation")) for dep in stage.get("deps", []))


def test_stages_of_another_family_are_not_in_a_familys_graph(project, monkeypatch):
    monkeypatch.chdir(project)
    from flows.graph import read_graph, short

    assert [short(name) for name in read_graph(family_of("params.yaml")).upstream] == ["first", "last"]
    other = read_graph(family_of("params/other.yaml"))
    assert list(other.upstream) == [f"families/other/dvc.yaml:{name}" for name in ("first", "last")]
