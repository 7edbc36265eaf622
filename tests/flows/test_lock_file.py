import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import dump_yaml, load_yaml, modify_yaml

from diminuendo.core.errors import UserError
from flows import lock_file
from flows.lock_file import keep, mend, write_atomically
from tests.factories.project import make_project, run

REPRO = (sys.executable, "-m", "flows.repro")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("template") / "p")
    run(root, sys.executable, "-m", "dvc", "repro", "-q")
    return root


@pytest.fixture
def home(template, tmp_path, monkeypatch):
    """A folder with the lock file, and neither git nor a copy of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock_file, "git", lambda *_: "")
    shutil.copy(template / "dvc.lock", tmp_path)
    return tmp_path


def test_a_file_cut_anywhere_is_accepted_again_with_its_whole_entries(template, home):
    text = (template / "dvc.lock").read_text()
    path = home / "dvc.lock"
    whole = load_yaml(template / "dvc.lock")["stages"]
    mended = 0
    for end in range(0, len(text), 7):
        path.write_text(text[:end])
        mended += mend() is not None
        if path.exists():
            left = COMPILED_LOCKFILE_SCHEMA(load_yaml(path))["stages"]
            begun = sum(f"\n  {name}:\n" in text[:end] for name in whole)
            assert begun - 1 <= len(left) <= begun and left
            assert all(whole[name] == left[name] for name in list(left)[: begun - 1])
    assert mended > 10


@pytest.mark.parametrize("origin", ["copy", "git"])
def test_what_a_cut_file_lacks_comes_from_a_whole_one(template, home, origin, monkeypatch):
    """Its own entries are the newer ones."""
    path, text = home / "dvc.lock", (template / "dvc.lock").read_text()
    whole = load_yaml(path)["stages"]
    if origin == "copy":
        keep()
    else:
        monkeypatch.setattr(lock_file, "git", lambda *_: text)
    first = next(iter(whole))
    newer = text.replace(whole[first]["outs"][0]["md5"], "f" * 32 + ".dir", 1)
    for name in (None, "branch@right", "last"):
        end = newer.index("outs:", newer.index(f"  {name}:")) + len("outs:") if name else 0
        path.write_text(newer[:end])
        said = mend()
        assert "cut short, by a kill or a full disk" in said and ("git" in said) == (origin == "git")
        left = load_yaml(path)["stages"]
        assert left.keys() == whole.keys()
        assert left[first]["outs"][0]["md5"] == (whole[first]["outs"][0]["md5"] if end == 0 else "f" * 32 + ".dir")
        assert {name: left[name] for name in left if name != first} == {n: whole[n] for n in whole if n != first}


def test_a_damaged_file_is_replaced_and_kept_aside(home):
    text = (home / "dvc.lock").read_text()
    keep()
    for damaged in (b"nonsense\n" + text.encode(), bytes(range(256)), text.replace("md5:", "md5", 1).encode()):
        (home / "dvc.lock").write_bytes(damaged)
        said = mend()
        assert "was damaged" in said and load_yaml("dvc.lock")["stages"].keys() == load_yaml_text(text).keys()
        assert (home / ".work/lock-files/root/damaged-dvc.lock").read_bytes() == damaged


def load_yaml_text(text):
    from dvc.utils.serialize import parse_yaml

    return parse_yaml(text, "dvc.lock")["stages"]


def test_a_copy_that_is_damaged_itself_is_not_used(home):
    keep()
    copy = home / ".work/lock-files/root/dvc.lock"
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    (home / "dvc.lock").write_text("nonsense")
    with pytest.raises(UserError, match="there is no whole copy of it"):
        mend()


def test_an_unfinished_merge_is_for_the_user(home):
    keep()
    text = "<<<<<<< HEAD\n" + (home / "dvc.lock").read_text()
    (home / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match="git checkout --ours"):
        mend()
    assert (home / "dvc.lock").read_text() == text


@pytest.mark.parametrize("stage", [None, "first", "last"])
def test_make_repro_goes_on(template, tmp_path, stage):
    project = Path(shutil.copytree(template, tmp_path / "p", symlinks=True))
    text = (project / "dvc.lock").read_text()
    end = text.index("outs:", text.index(f"  {stage}:")) + len("outs:") if stage else 0
    (project / "dvc.lock").write_text(text[:end])
    done = run(project, *REPRO, DIMINUENDO_TRACKING="off")
    assert "dvc.lock was cut short, by a kill or a full disk" in done.stderr
    locked = load_yaml(project / "dvc.lock")["stages"]
    assert locked == load_yaml(template / "dvc.lock")["stages"] and "Running stage" not in done.stdout


@pytest.fixture
def small_project(template, tmp_path):
    """The repository on a real file system with little room; skipped where this user may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    used = sum(path.stat().st_blocks for path in template.rglob("*") if not path.is_symlink()) * 512
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + 400_000}", "tmpfs", place]).returncode:
        pytest.skip("mounting is not allowed here")
    yield Path(shutil.copytree(template, place / "p", symlinks=True))
    subprocess.run(["umount", "-l", place], check=True)


LARGE = "mkdir -p models/first && head -c {size} /dev/zero > models/first/m"


def test_a_full_disk_is_one_sentence_and_after_room_was_made_it_goes_on(small_project):
    """DVC has no room for its copy of an output."""
    pipeline = small_project / "dvc.yaml"
    text = pipeline.read_text()
    (line,) = [line for line in text.splitlines() if "cp source" in line]
    pipeline.write_text(text.replace(line.strip().removeprefix("cmd: "), LARGE.format(size=300_000)))
    disk = small_project.parent
    (small_project / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 450_000)))
    before = load_yaml(small_project / "dvc.lock")
    done = run(small_project, *REPRO, check=False, DIMINUENDO_TRACKING="off")
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2) and "Traceback" not in said
    assert f"the disk at {disk} is full" in said and "make room there" in said
    assert load_yaml(small_project / "dvc.lock") == before
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    run(small_project, *REPRO, DIMINUENDO_TRACKING="off")
    assert (small_project / "models/first/m").stat().st_size == 300_000


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


def test_without_git_there_is_one_message_that_says_how_to_go_on(template, tmp_path):
    project = Path(shutil.copytree(template, tmp_path / "p", symlinks=True))
    shutil.rmtree(project / ".git")
    for command in (REPRO, (*REPRO, "--plan"), (sys.executable, "-m", "flows.pipeline")):
        done = run(project, *command, check=False, DIMINUENDO_TRACKING="off")
        assert done.returncode in (1, 2) and done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
        assert "is not in a git repository" in done.stderr and "git init && git add --all" in done.stderr
    run(project, sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "true")
    run(project, *REPRO, DIMINUENDO_TRACKING="off")
