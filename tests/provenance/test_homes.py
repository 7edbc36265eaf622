import pytest

from diminuendo.provenance.dvc_cache import Cache
from diminuendo.provenance.homes import Home, homes, homes_at, within
from diminuendo.provenance.places import Places
from tests.factories.project import run


@pytest.fixture
def project(tmp_path):
    """A main family and two others, in a commit; a third that no commit has, and folders that are none."""
    run(tmp_path, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(tmp_path, "git", "config", key, value)
    files = {
        "dvc.yaml": "stages: {}\n",
        "params.yaml": "seed: 1\n",
        "dvc.lock": lock("models/teacher", "1" * 32),
        "families/digits/dvc.yaml": "vars:\n  - ../../params/fsdd.yaml\n",
        "families/digits/dvc.lock": lock("models/teacher", "2" * 32),
        "families/voices/dvc.lock": lock("families/voices/models/teacher", "3" * 32),
        "families/notes/README": "",
        "families/voices/deeper/dvc.yaml": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", "commit", "-qm", "families")
    return tmp_path


def lock(path, md5):
    return f"stages:\n  train_teacher:\n    outs:\n    - path: {path}\n      md5: {md5}.dir\n"


def test_the_families_of_a_working_tree_and_of_a_commit(project):
    committed = [Home(""), Home("families/digits", "params/fsdd.yaml"), Home("families/voices", "params/voices.yaml")]
    assert homes(project) == committed
    (project / "families/later").mkdir()
    (project / "families/later/dvc.yaml").write_text("stages: {}\n")
    assert [home.place for home in homes(project)] == ["", "families/digits", "families/later", "families/voices"]
    assert homes_at(project, "HEAD") == committed


@pytest.mark.parametrize("path", ["models/x", "./models/x", "families/a/models/x", "../../families/a/models/x"])
def test_outputs_are_seen_from_their_home_however_the_lock_file_names_them(path):
    assert within("families/a", path) == "models/x"


def test_every_lock_file_is_read_now_and_in_commits(project):
    assert [(e.home, e.md5[0]) for e in Cache(project).outputs("models/teacher")] == [
        ("", "1"), ("families/digits", "2"), ("families/voices", "3"),
    ]  # fmt: skip
    (project / "families/voices/dvc.lock").write_text(lock("models/teacher", "4" * 32))
    found = list(Cache(project).outputs("models/teacher"))
    assert [(e.home, e.md5[0], e.commit is None) for e in found][2:] == [
        ("families/voices", "4", True), ("families/voices", "3", False),
    ]  # fmt: skip
    head = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    for md5 in "123":
        assert [e.commit for e in Cache(project).commits_with("models/teacher", f"{md5 * 32}.dir")] == [head]
    assert not list(Cache(project).commits_with("models/teacher", f"{'4' * 32}.dir"))


def test_a_member_of_the_main_family_comes_first_and_others_are_told_by_their_family(project):
    for place in ("", "families/digits/", "families/voices/"):
        for name in ("teacher", "slim") if place else ("teacher",):
            path = project / place / "models" / name / "model.onnx"
            path.parent.mkdir(parents=True)
            path.touch()
    places = Places(project)
    assert places.members("teacher") == [project / "models/teacher/model.onnx"]
    assert places.members("voices/teacher") == [project / "families/voices/models/teacher/model.onnx"]
    assert len(places.members("slim")) == 2 and places.members("nothing") == places.members("other/slim") == []
