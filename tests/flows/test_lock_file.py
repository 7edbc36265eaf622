import shutil
import sys
from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import dump_yaml, load_yaml, modify_yaml

from flows.lock_file import mend, write_atomically
from tests.factories.project import make_project, run

REPRO = (sys.executable, "-m", "flows.repro")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("template") / "p")
    run(root, sys.executable, "-m", "dvc", "repro", "-q")
    return root


def test_a_file_cut_anywhere_is_accepted_again_with_its_whole_entries(template, tmp_path):
    text = (template / "dvc.lock").read_text()
    path = tmp_path / "dvc.lock"
    whole = load_yaml(template / "dvc.lock")["stages"]
    mended = 0
    for end in range(0, len(text), 3):
        path.write_text(text[:end])
        mended += mend(tmp_path)
        if path.exists():
            left = COMPILED_LOCKFILE_SCHEMA(load_yaml(path))["stages"]
            begun = sum(f"\n  {name}:\n" in text[:end] for name in whole)
            assert begun - 1 <= len(left) <= begun and left
            assert all(whole[name] == left[name] for name in list(left)[: begun - 1])
    assert mended > 10


@pytest.mark.parametrize("edit", ["<<<<<<< HEAD\n", "nonsense\n", "  first:\n"])
def test_another_mistake_is_left_for_dvc_to_tell(template, tmp_path, edit):
    text = edit + (template / "dvc.lock").read_text()
    (tmp_path / "dvc.lock").write_text(text)
    assert not mend(tmp_path) and (tmp_path / "dvc.lock").read_text() == text


@pytest.mark.parametrize("stage", [None, "first", "last"])
def test_make_repro_goes_on(template, tmp_path, stage):
    project = Path(shutil.copytree(template, tmp_path / "p", symlinks=True))
    text = (project / "dvc.lock").read_text()
    end = text.index("outs:", text.index(f"  {stage}:")) + len("outs:") if stage else 0
    (project / "dvc.lock").write_text(text[:end])
    done = run(project, *REPRO, DIMINUENDO_TRACKING="off")
    assert "dvc.lock was cut short when DVC was killed" in done.stderr
    locked = load_yaml(project / "dvc.lock")["stages"]
    assert locked == load_yaml(template / "dvc.lock")["stages"] and "Running stage" not in done.stdout


def test_dvc_writes_beside_the_file(tmp_path):
    """A process that is killed while it writes leaves the file as it was."""
    write_atomically()
    path = tmp_path / "dvc.lock"
    dump_yaml(str(path), {"a": 1})
    inside = path.stat().st_mode
    with pytest.raises(Exception, match="cannot represent"), modify_yaml(str(path)) as content:
        content["b"] = object()
    assert path.read_text() == "a: 1\n" and path.stat().st_mode == inside
    assert [file.name for file in tmp_path.iterdir()] == ["dvc.lock"]
    (tmp_path / "link").symlink_to(path)
    with modify_yaml(str(tmp_path / "link")) as content:
        content["b"] = 2
    assert path.read_text() == "a: 1\nb: 2\n" and (tmp_path / "link").is_symlink()
