"""What git says of a trouble is told, with what to do."""

import os
import subprocess

import pytest

from diminuendo.core.git import cause_in_words, trouble_with
from diminuendo.provenance import git as questions
from diminuendo.provenance.git import git, troubles
from tests.factories.project import run

DUBIOUS = b"fatal: detected dubious ownership in repository at '/x y'\nTo add an exception for this directory, call:\n"


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "r"
    root.mkdir()
    run(root, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(root, "git", "config", key, value)
    for text in ("one", "two"):
        (root / "file").write_text(text)
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "-qm", text)
    return root


def test_a_repository_without_trouble_has_none_and_neither_has_a_question_without_an_answer(repository):
    assert trouble_with(repository) is None
    for question in (("show", "HEAD:nothing"), ("show", "0123456:file"), ("rev-parse", "--verify", "--quiet", "x")):
        assert git(repository, *question) == ""
    assert git(repository, "rev-parse", "--verify", "--quiet", "HEAD:../data") == ""  # raw data may lie outside
    assert troubles(repository) == []


def test_a_shallow_clone_is_named(repository, tmp_path):
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    (told,) = troubles(clone)
    assert "shallow clone" in told and "git fetch --unshallow" in told


def test_another_owner_is_named_with_the_command(tmp_path):
    told = cause_in_words(tmp_path / "x y", DUBIOUS)
    assert f"git config --global --add safe.directory '{tmp_path / 'x y'}'" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_another_owner_in_truth(repository, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    os.chown(repository, 12345, 12345)
    os.chown(repository / ".git", 12345, 12345)
    (told,) = troubles(repository)
    assert "dubious ownership" in told and "safe.directory" in told


def test_no_repository_and_no_git_are_named(tmp_path, monkeypatch):
    assert "not a git repository" in troubles(tmp_path)[0]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert trouble_with(tmp_path) == "git is not installed, so no commit is looked at"


def test_a_damaged_object_is_told_in_gits_words(repository):
    tree = run(repository, "git", "rev-parse", "HEAD:file").stdout.strip()
    path = repository / ".git/objects" / tree[:2] / tree[2:]
    path.chmod(0o644)
    path.write_bytes(b"")
    assert git(repository, "show", "HEAD:file") == ""
    (told,) = troubles(repository)
    assert told.startswith(f"git could not answer about {repository}: ") and "empty" in told
    questions._SAID.clear()


def test_git_is_asked_in_english(repository, monkeypatch):
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    done = subprocess.run(["git", "--version"], capture_output=True)
    assert done.returncode == 0 and "not a git repository" in trouble_with(repository.parent)
