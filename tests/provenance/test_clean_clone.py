import shutil
import sys

import pytest

from diminuendo.artifact.code import Scope, code_digest
from diminuendo.core.errors import UserError
from diminuendo.provenance.clean_clone import THIS, CleanClone
from diminuendo.provenance.descent import Corpus
from diminuendo.provenance.dvc_cache import Cache
from diminuendo.provenance.history import commits_with
from diminuendo.provenance.places import Places
from diminuendo.provenance.raw_data import locate
from stages.stored import ANEW
from tests.factories.project import run


def collect(root, text):
    """Commit another version of the collected data; returns the commit."""
    (root / "data/collected/train.jsonl").write_text(text)
    run(root, sys.executable, "-m", "dvc", "add", "-q", "data/collected")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", text)
    return run(root, "git", "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def project(tmp_path):
    """Raw data beside the repository, and collected data that DVC tracks; the commit of the first version."""
    root = tmp_path / "home/project"
    (tmp_path / "shared/speech").mkdir(parents=True)
    (tmp_path / "shared/speech/train.jsonl").write_text("speech")
    (root / "data/collected").mkdir(parents=True)
    (root / "data/collected/train.jsonl").write_text("first")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text("data: {path: ../../shared/speech, collected: data/collected}\n")
    run(root, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(root, "git", "config", key, value)
    run(root, sys.executable, "-m", "dvc", "init", "-q")
    commits = [collect(root, text) for text in ("first", "second")]
    return root, commits


def clone_of(root, commit, folder):
    places = Places(root)
    return CleanClone(places, commit, locate(places, Corpus("0" * 64, {}), commit), folder, THIS)


def test_raw_data_are_those_of_the_commit_or_where_they_were(project, tmp_path):
    root, commits = project
    for commit, text in zip(commits, ("first", "second")):
        clone = clone_of(root, commit, tmp_path / "again" / commit)
        clone.make(say=lambda _line: None)
        assert clone.raw["data.path"].value == str(tmp_path / "shared/speech")
        assert (clone.root / "data/collected/train.jsonl").read_text() == text
        left = {path.name for path in (tmp_path / "again" / commit).iterdir()}
        assert left == {"clone", "surroundings.json"}  # and no half of a clone


def test_results_are_not_taken_from_a_cache_that_the_project_shares(project, tmp_path):
    root, _ = project
    (root / ".dvc/config").write_text(f"[cache]\n    dir = {tmp_path / 'shared-cache'}\n")
    run(root, sys.executable, "-m", "dvc", "add", "-q", "data/collected")
    run(root, "git", "commit", "-qam", "a cache for all")
    commit = run(root, "git", "rev-parse", "HEAD").stdout.strip()
    clone = clone_of(root, commit, tmp_path / "again")
    clone.make(say=lambda _line: None)
    assert Cache(root).folder == tmp_path / "shared-cache/files/md5"
    assert Cache(clone.root).folder.resolve() == (clone.root / ".dvc/cache/files/md5").resolve()
    assert (clone.root / "data/collected/train.jsonl").read_text() == "second"


def test_collected_data_that_no_cache_has_are_asked_for(project, tmp_path):
    root, commits = project
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(UserError, match=r"data/collected: neither DVC's cache nor a remote has it"):
        clone_of(root, commits[0], tmp_path / "again").make(say=lambda _line: None)


def test_commits_of_one_code_and_other_data_are_told_apart(project):
    root, _ = project
    (root / "diminuendo").mkdir()
    (root / "stages").mkdir()
    (root / "stages/train.py").write_text("width = 1\n")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "code")
    (root / "diminuendo/x.py").write_text("")
    found = []
    for text in ("third", "fourth"):
        collect(root, text)
        run(root, "git", "commit", "-qm", "nothing new", "--allow-empty")
        found.append(run(root, "git", "rev-parse", "HEAD").stdout.strip())
    code = {Scope("train"): code_digest("train", root)}
    assert list(commits_with(root, code)) == found[::-1]
    assert list(commits_with(root, code, first=[found[0]])) == found


def test_a_clone_takes_no_weights_over_from_an_earlier_run(project, tmp_path):
    root, commits = project
    assert clone_of(root, commits[0], tmp_path / "again").surroundings()[ANEW]


def test_a_clone_that_was_interrupted_goes_on(project, tmp_path):
    root, commits = project
    clone = clone_of(root, commits[0], tmp_path / "again")
    clone.root.with_name("making.tmp").mkdir(parents=True)
    (clone.root.with_name("making.tmp") / "half").write_text("cloned")
    clone.make(say=lambda _line: None)
    (clone.root / "models").mkdir()
    clone_of(root, commits[0], tmp_path / "again").make(say=lambda _line: None)
    assert (clone.root / "models").is_dir() and not (clone.root / "half").exists()


def test_a_clone_of_other_surroundings_is_begun_anew(project, tmp_path, monkeypatch):
    """What another choice of instructions computed would be compared as if it had been computed here."""
    root, commits = project
    clone, told = clone_of(root, commits[0], tmp_path / "again"), []
    clone.make(say=told.append)
    (clone.root / "models").mkdir()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    clone_of(root, commits[0], tmp_path / "again").make(say=told.append)
    assert not (clone.root / "models").exists() and "made in other surroundings; it is begun anew" in "".join(told)
    (clone.root / "models").mkdir()
    clone_of(root, commits[0], tmp_path / "again").make(say=told.append)
    assert (clone.root / "models").is_dir()


def test_raw_data_that_are_gone_are_asked_for(project, tmp_path):
    root, commits = project
    (tmp_path / "shared/speech").rename(tmp_path / "shared/moved")
    expected = r"data.path: the raw data .* are not at hand: ../../shared/speech \(named by params.yaml .*--data FOLDER"
    with pytest.raises(UserError, match=expected):
        clone_of(root, commits[0], tmp_path / "again")
