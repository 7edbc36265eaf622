import sys
from pathlib import Path

import pytest

from diminuendo.core.errors import UserError
from flows import graph as graph_module
from flows.graph import Graph, order_lock_file, read_graph
from tests.factories.project import make_project, run

DIAMOND = Graph({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, frozenset())


def test_a_stage_is_ready_when_all_that_it_reads_is_done():
    assert DIAMOND.ready(set(), set()) == ["a"]
    assert DIAMOND.ready({"a"}, {"a"}) == ["b", "c"]
    assert DIAMOND.ready({"a", "b"}, {"a", "b", "c"}) == []
    assert DIAMOND.ready({"a", "b", "c"}, {"a", "b", "c"}) == ["d"]


def test_a_part_is_what_was_named_and_all_that_it_reads():
    part = Graph(DIAMOND.upstream, frozenset("ad")).up_to(["b"])
    assert part == Graph({"a": (), "b": ("a",)}, frozenset("a"))
    assert DIAMOND.up_to(["d"]).upstream == DIAMOND.upstream
    with pytest.raises(UserError, match="e: no stage is called so; there are: a, b, c, d"):
        DIAMOND.up_to(["e"])


@pytest.mark.parametrize(
    ("before", "written", "expected"),
    [
        ([], "acbd", "abcd"),  # a first run: DVC's own order
        (["d", "c"], "dcba", "abcd"),  # whatever a run that was killed left first
        ([], "abcd", "abcd"),
    ],
)
def test_lock_file_is_put_in_the_order_of_dvc_repro(tmp_path, monkeypatch, before, written, expected):
    monkeypatch.setattr(graph_module, "ROOT", tmp_path)
    entries = {name: f"  {name}:\n    cmd: run {name}\n" for name in "abcd"}
    path = tmp_path / "dvc.lock"
    path.write_text("schema: '2.0'\nstages:\n" + "".join(entries[name] for name in written))
    order_lock_file(DIAMOND, before)
    assert path.read_text() == "schema: '2.0'\nstages:\n" + "".join(entries[name] for name in expected)


def test_without_a_lock_file_there_is_nothing_to_order(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_module, "ROOT", tmp_path)
    order_lock_file(DIAMOND, [])
    assert not list(Path(tmp_path).iterdir())


LOOKING = """
stages:
  look:
    cmd: {cmd}
    always_changed: true
    outs: [seen]
  use:
    cmd: cp seen used
    deps: [seen]
    outs: [used]
"""


def test_a_stage_that_always_runs_is_changed_if_what_it_makes_is(tmp_path, monkeypatch):
    project = make_project(tmp_path / "project", LOOKING.format(cmd="cp source seen"))
    monkeypatch.chdir(project)
    assert read_graph().changed == {"look", "use"}
    run(project, sys.executable, "-m", "dvc", "repro")
    assert read_graph().changed == frozenset()
    (project / "source").write_text("2\n")
    found = read_graph()
    assert found.changed == {"look", "use"} and found.upstream == {"look": (), "use": ("look",)}


@pytest.mark.parametrize("cmd", ["cp nothing seen", "no-such-command", "[cp source seen, cp source seen]"])
def test_one_that_cannot_be_run_here_is_left_to_dvc(tmp_path, monkeypatch, cmd):
    project = make_project(tmp_path / "project", LOOKING.format(cmd=cmd))
    (project / "seen").touch()
    monkeypatch.chdir(project)
    assert "look" in read_graph().changed
