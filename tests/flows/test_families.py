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
    # DVC alone is enough, for either of them, from any folder and whatever is exported.
    for folder, target in (
        ("", "families/other/dvc.yaml"),
        ("families/other", "dvc.yaml"),
        ("families", "other/dvc.yaml"),
    ):
        command = (sys.executable, "-m", "dvc", "repro", "--force", target)
        run(project / folder, *command, DIMINUENDO_PARAMS="params.yaml", PYTHONPATH=str(project))
        assert (project / "families/other/models/first/m").read_text() == f"1{seed}"
    run(project, sys.executable, "-m", "dvc", "repro", "--force", DIMINUENDO_PARAMS="params/other.yaml")
    assert (project / "models/first/m").read_text() == seed


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


def test_a_plan_by_force_names_every_stage_and_runs_none(project):
    repro(project)
    before = (project / "dvc.lock").read_bytes()
    plan = repro(project, "--plan", "--force").stdout
    assert "2 of 2 stages to run" in plan and {"first", "last"} <= set(plan.split())
    assert (project / "dvc.lock").read_bytes() == before and "all 2 stages" in repro(project, "--plan").stdout


def test_retraining_is_of_the_checkouts_own_family(project, monkeypatch):
    from diminuendo.core.errors import UserError
    from flows.retraining.run import checked_params

    monkeypatch.chdir(project)
    assert checked_params().ship is not None
    monkeypatch.setenv("DIMINUENDO_PARAMS", "params/other.yaml")
    with pytest.raises(UserError, match="retraining is of the checkout's own family"):
        checked_params()


def test_a_parameter_file_that_is_not_there_or_has_no_home_is_one_message(project):
    for name, words in {"params/none.yaml": "cannot be read", "else.yaml": "params/NAME.yaml"}.items():
        done = repro(project, check=False, DIMINUENDO_PARAMS=name)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("damage", ["gone", "not YAML", "an unknown key"])
def test_a_family_that_cannot_be_read_stops_no_other(project, damage):
    path = project / "params/other.yaml"
    before = path.read_text()
    repro(project, DIMINUENDO_PARAMS="params/other.yaml")
    path.unlink() if damage == "gone" else path.write_text("{" if damage == "not YAML" else before + "what: 1\n")
    try:
        assert "all 2 stages are up to date" in repro(project).stdout
        broken = repro(project, check=False, DIMINUENDO_PARAMS="params/other.yaml")
        assert broken.returncode == 2 and "params/other.yaml" in broken.stderr and "Traceback" not in broken.stderr
    finally:
        path.write_text(before)


def test_a_file_of_dvc_that_cannot_be_read_is_named_and_what_to_do(project):
    path = project / "families/other/dvc.lock"
    before = path.read_text()
    path.write_text("<<<<<<< HEAD\n" + before)
    try:
        done = repro(project, check=False)
        assert done.returncode == 2 and "families/other/dvc.lock: has the marks of an unfinished" in done.stderr
        assert "git checkout --ours families/other/dvc.lock" in done.stderr
    finally:
        path.write_text(before)


def test_what_a_full_disk_left_in_dvcs_run_cache_is_removed(project):
    for key in (project / ".dvc/cache/runs").glob("*/*"):
        for file in key.iterdir():
            file.unlink()
    assert "2 of 2 stages" in repro(project, "--force").stdout


def test_data_that_is_not_there_is_said_before_anything_runs(project):
    text = (project / "params/other.yaml").read_text()
    (project / "params/nowhere.yaml").write_text(text.replace("path: corpora/home", "path: no/where"))
    done = repro(project, check=False, DIMINUENDO_PARAMS="params/nowhere.yaml")
    assert done.returncode == 2 and "data.path: there is no folder no/where" in done.stderr
    assert not (project / "families/nowhere").exists()


def test_the_families_of_this_repository_are_up_to_date_with_its_pipeline():
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    homes = sorted((ROOT / "families").glob("*/dvc.yaml"))
    for path in homes:
        family = family_of(f"params/{path.parent.name}.yaml")
        parameters = yaml.safe_load((ROOT / family.params).read_text())
        expected = pipeline_of(family, root, parameters)
        assert path.read_text() == expected, f"DIMINUENDO_PARAMS={family.params} python -m flows.repro --plan"


def test_every_output_of_the_root_has_another_place(tmp_path):
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    moved = yaml.safe_load(pipeline_of(Family(family_of("params/x.yaml").params), root, parameters))
    for stage in moved["stages"].values():
        stage = stage.get("do", stage)
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
        assert all(out.startswith("families/x/") for out in outs)
        assert stage["wdir"] == "../.." and stage["cmd"].startswith("DVC_STAGE= DIMINUENDO_PARAMS=params/x.yaml ")
        assert all(not dep.startswith(("models", "data/prepared", "evaluation")) for dep in stage.get("deps", []))


def test_what_dvc_shows_of_a_family_needs_neither_a_server_nor_another_family():
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    moved = yaml.safe_load(pipeline_of(family_of("params/x.yaml"), root, parameters))
    assert root["metrics"] == moved["metrics"] == ["reports/summary"]  # a row a member
    assert root["plots"] == ["reports/plots"]  # pictures: DVC's templates fetch the code that draws them
    assert "plots" not in moved  # those of a family that was not built would hide all others


def test_stages_of_another_family_are_not_in_a_familys_graph(project, monkeypatch):
    monkeypatch.chdir(project)
    from flows.graph import read_graph, short

    assert [short(name) for name in read_graph(family_of("params.yaml")).upstream] == ["first", "last"]
    other = read_graph(family_of("params/other.yaml"))
    assert list(other.upstream) == [f"families/other/dvc.yaml:{name}" for name in ("first", "last")]
