"""What is told of parameters that are valid: by ``diminuendo check``, and by a plan before anything runs."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.family import family_of
from diminuendo.parameters import parse_params
from diminuendo.parameters.remarks import unread_texts
from flows import repro
from flows.graph import Graph
from flows.planning import Plan
from tests.factories.minute import minute_params

UNREAD = {"from": "teacher"}


def raw_params(**labels):
    raw = json.loads(json.dumps(minute_params()))
    raw["label"] |= labels
    return raw


def test_texts_that_nobody_learns_from_are_remarked_upon():
    assert unread_texts(parse_params(raw_params())) == {}
    (remark,) = unread_texts(parse_params(raw_params(more=UNREAD))).values()
    assert remark.startswith("label.more: teacher hears the corpus") and "labels: more" in remark


def test_check_tells_them_as_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = raw_params(more=UNREAD)
    for key in ("path", "collected"):
        Path(raw["data"][key]).mkdir(parents=True)
    for name in ("grammar.yaml", "voices.yaml"):
        (Path(raw["data"]["path"]) / name).touch()
    raw["ship"]["member"] = "teacher"
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    found = CliRunner().invoke(main, ["check"])
    assert found.exit_code == 0 and "params.yaml is valid" in found.stdout
    assert [line.split(":")[:2] for line in found.stderr.splitlines()] == [["note", " label.more"]]


@pytest.mark.parametrize("up_to_date", [False, True])
def test_a_plan_tells_them_where_they_are_to_be_written(tmp_path, monkeypatch, capsys, up_to_date):
    monkeypatch.chdir(tmp_path)
    stages = ("label@heard", "label@more")
    graph = Graph({name: () for name in stages}, frozenset(() if up_to_date else stages))
    plan = Plan(family_of("params.yaml"), parse_params(raw_params(more=UNREAD)), graph, [])
    repro._say_plan(plan, 1, force=False)
    said = capsys.readouterr().err
    assert said == "" if up_to_date else said.startswith("note: label.more: ") and said.count("\n") == 1
