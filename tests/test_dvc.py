import ast
import sys

import pytest
import yaml

from diminuendo.artifact.code import modules_of
from diminuendo.compression.registry import TECHNIQUES
from diminuendo.parameters.schema import Params
from stages.declared import declared, stage_names
from tests.factories.project import ROOT, make_project, run

STAGES = [
    "index",
    "prepare",
    "train_teacher",
    "distill",
    "compress_architecture",
    "prune",
    "quantize",
    "evaluate",
    "report",
]


def test_the_stages_are_there_by_name():
    assert stage_names() == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_can_change_a_result_is_a_dependency(stage):
    """Else an edit would leave an old result in place."""
    deps = [ROOT / dep for dep in declared(stage).deps]
    modules = modules_of(stage)
    assert f"stages.{'member' if stage in TECHNIQUES else stage}" in modules
    assert [name for name, path in modules.items() if not any(path == dep or dep in path.parents for dep in deps)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_on_code_that_the_stage_does_not_import(stage):
    """Else an edit of one technique would run another again."""
    paths = modules_of(stage).values()
    code = [ROOT / dep for dep in declared(stage).deps if dep.startswith(("diminuendo", "stages"))]
    assert [dep for dep in code if not any(path == dep or dep in path.parents for path in paths)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_that_a_stage_reads_are_declared(stage):
    module = "member" if stage in TECHNIQUES else stage
    tree = ast.parse((ROOT / "stages" / f"{module}.py").read_text())
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in Params.model_fields
        and (getattr(node.value, "id", None) == "params" or getattr(node.value, "attr", None) == "params")
    }
    sections = {name.split(".")[0] for name in declared(stage).params}
    assert read - sections == set()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("dvc") / "project", (ROOT / "dvc.yaml").read_text())


def stages_of(project):
    listed = run(project, sys.executable, "-m", "dvc", "stage", "list", "--name-only")
    return listed.stdout.split()


def test_every_member_is_a_stage_and_adding_one_is_an_edit_of_the_parameters(project):
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    expected = [f"{stage}@{name}" for stage in STAGES[3:7] for name in params[stage]]
    assert stages_of(project) == [*STAGES[:3], *expected, *STAGES[7:]]
    params["prune"]["one-more"] = {"from": "student", "magnitude": {"sparsity": 0.5}}
    path.write_text(yaml.safe_dump(params))
    assert "prune@one-more" in stages_of(project)
    path.write_text((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize("empty", [{}, None], ids=["empty", "absent"])
def test_a_technique_may_have_no_member(project, empty):
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for section in ("quantize", "prune"):
        params[section] = empty
        if empty is None:
            del params[section]
    path.write_text(yaml.safe_dump(params))
    assert "distill@student" in stages_of(project) and "prune" not in " ".join(stages_of(project))
    path.write_text((ROOT / "params.yaml").read_text())


def test_the_other_parameter_files_are_whole(project):
    files = sorted((ROOT / "params").glob("*.yaml"))
    assert files
    for file in files:
        (project / "params.yaml").write_text(file.read_text())
        assert "train_teacher" in stages_of(project)
    (project / "params.yaml").write_text((ROOT / "params.yaml").read_text())
