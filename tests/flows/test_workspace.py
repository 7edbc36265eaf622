import shutil
import sys
from pathlib import Path

import pytest

from diminuendo.core.errors import UserError
from flows.retraining.parameters import with_collected
from flows.retraining.workspace import COLLECTED, Workspace
from tests.factories.incoming import make_batch
from tests.factories.project import make_project, run

LOCKED = "schema: '2.0'\nstages:\n  first:\n    cmd: {}\n"


def git(folder, *arguments):
    return run(folder, "git", *arguments).stdout.strip()


def commit(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A checkout and its worktree, made once: DVC takes its time."""
    root = make_project(tmp_path_factory.mktemp("original") / "p")
    commit(root, dvc__lock=LOCKED.format("old"), notes="one\n")
    return root


@pytest.fixture
def workspace(original, tmp_path):
    root = Path(shutil.copytree(original, tmp_path / "p", symlinks=True))
    one = Workspace(root, tmp_path / "p-retraining", say=lambda _: None)
    one.open()
    return one


def test_the_worktree_has_a_branch_of_its_own_and_the_cache_of_the_checkout(workspace):
    root, folder = workspace.root, workspace.folder
    before = git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")
    assert git(folder, "branch", "--show-current") == "retraining"
    (folder / COLLECTED).mkdir(parents=True)
    (folder / COLLECTED / "train.jsonl").write_text("{}\n")
    workspace.add_collection()
    assert "collected: data/collected" in (folder / "params.yaml").read_text()
    lines = zip((root / "params.yaml").read_text().splitlines(), (folder / "params.yaml").read_text().splitlines())
    (changed,) = ((old, new) for old, new in lines if old != new)
    assert changed[1] == changed[0].replace("corpora/collected", "data/collected")
    assert not (folder / ".dvc/cache").exists() and list((root / ".dvc/cache/files/md5").rglob("*.dir"))

    first = workspace.commit("promoted", "retraining/one")
    assert workspace.head == before[1] != first  # the branch has not moved
    assert workspace.commit("promoted", "retraining/one") == first
    workspace.advance(first)
    assert workspace.head == first and "data/collected.dvc" in git(folder, "ls-files")
    assert (git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")) == before

    # What a killed run left behind is gone, the collection included.
    (folder / COLLECTED / "dev.jsonl").write_text("{}\n")
    (folder / "params.yaml").write_text("half")
    private = Path(git(folder, "rev-parse", "--absolute-git-dir"))
    (private / "index.lock").touch()
    workspace.reset()
    assert [path.name for path in (folder / COLLECTED).iterdir()] == ["train.jsonl"]
    assert not git(folder, "status", "--porcelain")
    workspace.open()  # a second time changes nothing
    assert workspace.head == first


def test_a_collection_that_was_never_committed_does_not_outlive_its_run(workspace):
    (workspace.folder / COLLECTED).mkdir(parents=True)
    (workspace.folder / "data/collected.dvc").write_text("outs: []\n")
    workspace.reset()
    assert not (workspace.folder / COLLECTED).exists() and not (workspace.folder / "data/collected.dvc").exists()


def test_both_sides_of_dvc_lock_are_never_mixed(workspace):
    root, folder = workspace.root, workspace.folder
    mine = LOCKED.format("mine") + "    deps: []\n"
    commit(folder, dvc__lock=mine)
    theirs = commit(root, dvc__lock=LOCKED.format("theirs"), notes="two\n")
    assert workspace.merge_main()
    assert (folder / "dvc.lock").read_text() == mine and (folder / "notes").read_text() == "two\n"
    assert git(folder, "merge-base", theirs, "HEAD") == theirs and not git(folder, "status", "--porcelain")
    assert not workspace.merge_main()


def test_a_lock_that_git_could_merge_line_by_line_is_not_merged_either(workspace):
    root, folder = workspace.root, workspace.folder
    far = "".join(f"    # {number}\n" for number in range(20))
    commit(root, dvc__lock=LOCKED.format("old") + far)
    workspace.merge_main()
    mine = LOCKED.format("mine") + far
    commit(folder, dvc__lock=mine)
    commit(root, dvc__lock=LOCKED.format("old") + far + "    outs: []\n")
    workspace.merge_main()
    assert (folder / "dvc.lock").read_text() == mine


def test_an_edit_of_params_in_the_checkout_is_taken_and_the_collection_stays_named(workspace):
    root, folder = workspace.root, workspace.folder
    text = (root / "params.yaml").read_text()
    block = "  sparse:\n    from: student\n    magnitude: {sparsity: 0.5}\n"
    flow = "  sparse: {from: student, magnitude: {sparsity: 0.5}}\n"
    rewrapped = with_collected(text, "data/collected").replace(block, flow)
    assert rewrapped.count("\n") < text.count("\n")
    commit(folder, params__yaml=rewrapped, dvc__lock=LOCKED.format("mine"))
    edited = text.replace("layers: 4", "layers: 5").replace("  path: corpora/home ", "  path: corpora/others ")
    edited = edited.replace("retraining adds", "somebody adds")  # on the very line
    commit(root, params__yaml=edited)
    workspace.merge_main()
    assert (folder / "params.yaml").read_text() == with_collected(edited, "data/collected")
    assert not git(folder, "status", "--porcelain")


def test_a_third_folder_of_collected_recordings_is_a_conflict(workspace):
    root, folder = workspace.root, workspace.folder
    text = (root / "params.yaml").read_text()
    commit(folder, params__yaml=with_collected(text, "data/collected"))
    commit(root, params__yaml=with_collected(text, "corpora/mine"))
    with pytest.raises(UserError, match=r"cannot be merged into the branch retraining: params\.yaml"):
        workspace.merge_main()
    assert not git(folder, "status", "--porcelain")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data:\n  collected: a/b # c\nx: {y: 1}\n", "data:\n  collected: new # c\nx: {y: 1}\n"),
        ('data: {collected: "a", path: b}', "data: {collected: new, path: b}"),
        ("# é\ndata:\n    path: b\n", "# é\ndata:\n    collected: new\n    path: b\n"),
        ("data: {path: b}\n", "data: {collected: new, path: b}\n"),
    ],
)
def test_only_the_name_of_the_collection_changes(text, expected):
    assert with_collected(text, "new") == expected


def test_a_section_that_is_shared_is_not_edited():
    with pytest.raises(UserError, match="commit it as `collected: new`"):
        with_collected("other: &it {path: b}\ndata: *it\n", "new")


def test_another_conflict_is_told_and_nothing_is_left_half_done(workspace):
    commit(workspace.folder, notes="mine\n")
    commit(workspace.root, notes="theirs\n")
    with pytest.raises(UserError, match=r"cannot be merged into the branch retraining: notes\. Merge it by hand"):
        workspace.merge_main()
    assert not git(workspace.folder, "status", "--porcelain") and (workspace.folder / "notes").read_text() == "mine\n"


def test_a_folder_of_somebody_else_is_left_alone(workspace, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis").write_text("years of work")
    with pytest.raises(UserError, match="no worktree of git and not empty"):
        Workspace(workspace.root, tmp_path / "mine").open()
    with pytest.raises(UserError, match="is inside of"):
        Workspace(workspace.root, workspace.root / "inside").open()
    other = make_project(tmp_path / "other", "stages: {}\n")
    with pytest.raises(UserError, match="belongs to another repository"):
        Workspace(workspace.root, other).open()


def test_incoming_batches_may_be_imported_by_dvc(workspace, tmp_path):
    root, remote = workspace.root, tmp_path / "remote"
    make_batch(remote / "week1", 2)
    run(root, sys.executable, "-m", "dvc", "import-url", "-q", "../remote", "incoming")
    with pytest.raises(UserError, match=r"incoming\.dvc: not committed"):
        workspace.take_incoming("incoming")
    git(root, "add", "-f", "incoming.dvc")
    git(root, "commit", "-qm", "import")
    workspace.merge_main()
    make_batch(remote / "week2", 2)
    folder, changed = workspace.take_incoming("incoming")
    assert changed == ("incoming.dvc",) and folder == workspace.folder / "incoming"
    assert sorted(path.name for path in folder.iterdir()) == ["week1", "week2"]
    shutil.rmtree(folder / "week1")  # moved to quarantine
    assert workspace.take_incoming("incoming")[0] == folder
    assert not (root / "incoming/week2").exists()  # the checkout keeps its version
    assert workspace.commit("promoted", "retraining/one", changed)
    assert "incoming.dvc" in git(workspace.folder, "diff", "--name-only", "HEAD", "retraining/one")


def test_a_command_of_dvc_that_fails_says_why(workspace):
    with pytest.raises(UserError, match="dvc checkout no-such-file ended with"):
        workspace.dvc("checkout", "no-such-file")


def test_records_go_to_the_store_of_the_checkout(workspace, monkeypatch):
    import os

    from diminuendo.tracking.store import tracking_uri
    from flows.retraining.workspace import working_in

    monkeypatch.chdir(workspace.root)
    for given in (None, "sqlite:///mlflow.db", "http://127.0.0.1:1"):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        if given:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        with working_in(workspace):
            expected = given if given and given.startswith("http") else f"sqlite:///{workspace.root}/mlflow.db"
            assert tracking_uri() == expected and Path.cwd() == workspace.folder
        assert os.environ.get("MLFLOW_TRACKING_URI") == given and Path.cwd() == workspace.root


def test_a_checkpoint_that_git_does_not_have_is_linked_into_the_worktree(workspace):
    root, folder = workspace.root, workspace.folder
    workspace.link_checkpoints()  # the teacher is trained from scratch
    assert not (folder / "checkpoints").exists()
    students = "distill: {small: {pretrained: {path: checkpoints/small}}, own: {from: teacher}}\n"
    (folder / "params.yaml").write_text("teacher: {pretrained: {path: checkpoints/tiny}}\n" + students)
    workspace.link_checkpoints()  # the checkout has none either: what reads it says so
    assert not (folder / "checkpoints").exists()
    (root / "checkpoints/tiny").mkdir(parents=True)
    (root / "checkpoints/tiny/config.json").write_text("{}")
    (root / "checkpoints/small").mkdir()
    for _ in range(2):
        workspace.link_checkpoints()
        assert (folder / "checkpoints/tiny/config.json").read_text() == "{}"
        assert (folder / "checkpoints/small").is_dir()
    assert git(folder, "status", "--porcelain", "checkpoints") == ""
    (root / "checkpoints/tiny").rename(root.parent / "tiny")
    (root / "checkpoints/small").rmdir()
    (root / "checkpoints").rmdir()
    (root / "checkpoints").symlink_to(root.parent)
    workspace.link_checkpoints()
    assert (folder / "checkpoints/tiny").resolve() == root.parent / "tiny"
    for elsewhere in ("../tiny", str(root.parent / "tiny")):
        (folder / "params.yaml").write_text(f"teacher: {{pretrained: {{path: {elsewhere}}}}}\n")
        workspace.link_checkpoints()
