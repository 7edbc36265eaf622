import ast
import sys
import typing
from difflib import unified_diff

import pytest
import yaml
from pydantic import BaseModel

from diminuendo.artifact import code
from diminuendo.compression.registry import FAMILY_SECTIONS, TECHNIQUES
from diminuendo.core.errors import UserError
from diminuendo.parameters import schema
from diminuendo.parameters.schema import Params
from stages.declared import declared, stage_names
from stages.dependencies import COMMAND, code_of, with_dependencies
from tests.factories.project import ROOT, make_project, run

STAGES = [
    "index",
    "prepare",
    "train_teacher",
    "distill",
    "label",
    "distill_on_labels",
    "compress_architecture",
    "prune",
    "prune_on_labels",
    "quantize",
    "evaluate",
    "report",
]
SCHEMA = "diminuendo.parameters.schema"


def test_the_stages_are_there_by_name():
    assert stage_names() == STAGES


def test_dependencies_are_those_that_the_imports_give():
    """Else an edit would leave an old result in place, or run a stage again that it cannot change."""
    text = (ROOT / "dvc.yaml").read_text()
    written = with_dependencies(text)
    differing = list(unified_diff(text.splitlines(), written.splitlines(), "dvc.yaml", "imports", lineterm="", n=0))
    assert not differing, f"run `{COMMAND}`\n" + "\n".join(differing)


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_of_a_stage_is_a_dependency(stage):
    paths = {path.relative_to(ROOT).as_posix() for path in code.modules_of(stage).values()}
    assert f"stages/{stage}.py" in paths or "stages/member.py" in paths
    declared_code = [dep for dep in declared(stage).deps if dep.startswith(("diminuendo/", "stages/"))]
    assert sorted(paths) == declared_code


def sections_of(annotation):
    """The classes of sections in an annotation, with those of their own keys."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections_of(field.annotation)
    for part in typing.get_args(annotation):
        yield from sections_of(part)


def sections_on(path):
    """The classes that a dotted key of the parameters leads through, and all below where it ends."""
    annotation = Params
    for part in path.split("."):
        if typing.get_origin(annotation) is dict:  # the part is a member's name
            annotation = typing.get_args(annotation)[1]
            continue
        if annotation is not Params:
            yield annotation
        annotation = annotation.model_fields[part].annotation
    yield from sections_of(annotation)


@pytest.mark.parametrize("stage", STAGES[1:])
def test_the_defaults_of_a_stages_sections_are_in_its_code(stage):
    """Where a file leaves a key out, its default shapes the result, and DVC sees the default's file alone."""
    keys = set(declared(stage).params)
    if stage == "report":  # it uses the members, by data/members.json
        keys |= set(FAMILY_SECTIONS)
    files = {section.__module__ for key in keys for section in sections_on(key)} - {SCHEMA}
    if stage == "prepare":  # it uses one key of the teacher's architecture, whose class is in its code
        files -= {"diminuendo.compression.teacher"}
    assert files
    assert sorted(files - set(code.modules_of(stage))) == []


def test_the_schema_has_no_default_of_its_own():
    """It is in no stage's digest."""
    sections = [value for value in vars(schema).values() if getattr(value, "__module__", None) == SCHEMA]
    assert sections
    for section in sections:
        for name, field in section.model_fields.items():
            value = field.default
            bare = value is None or value == {} or (isinstance(value, BaseModel) and not value.model_fields_set)
            assert field.is_required() or bare, f"{section.__name__}.{name}"


PIPELINE = """\
# A comment.
vars:
  - {prune: {}, gone: {}} # kept
  - {data: {}, more: 1}
stages:
  prepare:
    deps:
      # what is read
      - "${data.path}"   # kept
      - diminuendo/gone.py
      - stages/old.py
    outs: [a]

  prune:
    foreach: ${prune}
    do:
      deps:
        - models/teacher
      outs: [b]
plots:
  - reports/plots
"""


def test_the_command_changes_lines_of_code_alone():
    written = with_dependencies(PIPELINE)
    kept = [line for line in written.splitlines() if not line.lstrip().startswith(("- diminuendo/", "- stages/"))]
    sections = ", ".join(f"{section}: {{}}" for section in ("label", *TECHNIQUES))
    before = PIPELINE.replace("prune: {}, gone: {}", sections)
    assert kept == [line for line in before.splitlines() if not line.endswith(("gone.py", "old.py"))]
    stages = yaml.safe_load(written)["stages"]
    assert stages["prepare"]["deps"] == ["${data.path}", *code_of("prepare")]
    assert stages["prune"]["do"]["deps"] == ["models/teacher", *code_of("prune")]
    assert with_dependencies(written) == written


@pytest.mark.parametrize("deps", ["", "    deps: [data/prepared]\n"])
def test_a_stage_whose_dependencies_cannot_be_written_is_named(deps):
    text = PIPELINE.replace("plots:", f"  evaluate:\n{deps}    outs: [c]\nplots:")
    with pytest.raises(UserError, match=r"dvc.yaml: evaluate: expected a line `deps:` .*`python -m stages.dep"):
        with_dependencies(text)


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
    if stage == "prepare":  # what it needs of the teacher, by data/teacher.json
        sections |= {"teacher", "frontend"}
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
    expected = [f"{stage}@{name}" for stage in STAGES[3:10] for name in params.get(stage, {})]
    assert stages_of(project) == [*STAGES[:3], *expected, *STAGES[10:]]
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
