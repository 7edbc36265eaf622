import pytest

from diminuendo.core.errors import UserError
from diminuendo.provenance import checkout
from diminuendo.provenance.checkout import Checkout
from tests.factories.project import run

COMMITS = (
    {"diminuendo/a.py": "a = 1\n", "diminuendo/deep/b.py": "b = 1\n", "stages/s.py": "s = 1\n"},
    {"diminuendo/a.py": "a = 2\n", "diminuendo/deep/b.py": "b = 1\n", "stages/s.py": "s = 1\n"},
    {"diminuendo/a.py": "a = 2\n", "diminuendo/deep": "a file now\n", "stages/s.py": "s = 1\n"},
    {"diminuendo/a.py": "a = 2\n", "diminuendo/[a].py": "c = 1\n", "stages/t.py": "t = 1\n"},
)


@pytest.fixture
def history(tmp_path):
    """A repository, and for each of ``COMMITS`` the git trees of both packages."""
    root = tmp_path / "repository"
    root.mkdir()
    run(root, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(root, "git", "config", key, value)
    trees = []
    for files in COMMITS:
        run(root, "git", "rm", "-rqf", "--ignore-unmatch", ".")
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "-qm", "next")
        trees.append(tuple(run(root, "git", "rev-parse", "HEAD:diminuendo", "HEAD:stages").stdout.split()))
    return root, trees


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_holds_what_each_commit_has_and_nothing_else(history):
    root, trees = history
    sources = Checkout(root)
    for which in (0, 1, 2, 3, 0):
        assert content(sources.at(trees[which])) == COMMITS[which]


def test_only_files_that_differ_are_read_again(history, monkeypatch):
    root, trees = history
    sources = Checkout(root)
    sources.at(trees[0])
    asked, usual = [], checkout.run_git
    monkeypatch.setattr(checkout, "run_git", lambda *command: asked.append(command) or usual(*command))
    sources.at(trees[0])
    assert asked == []
    sources.at(trees[1])
    assert [command[command.index("--") + 1 :] for command in asked] == [("a.py",)]


def test_a_tree_that_git_lost_is_told(history):
    root, trees = history
    sources = Checkout(root)
    sources.at(trees[0])
    blob = run(root, "git", "rev-parse", f"{trees[1][0]}:a.py").stdout.strip()
    (root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UserError, match="git could not answer"):
        sources.at(trees[1])
    assert content(sources.at(trees[0])) == COMMITS[0]
