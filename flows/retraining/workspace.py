"""The git worktree of retraining, so that no checkout is touched.

It has its own branch, ``retraining``. Each commit there is a promoted run, or a merge of new commits of
the checkout. DVC's cache and MLflow's store are the checkout's.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text
from diminuendo.provenance.history import checkpoint_folders, parameters_at
from diminuendo.tracking.address import sqlite_file, sqlite_uri
from diminuendo.tracking.store import tracking_uri
from flows import dvc_command
from flows.retraining.git import git
from flows.retraining.parameters import differs_in_collected_alone, with_collected

BRANCH = "retraining"
COLLECTED = Path("data/collected")
COLLECTED_DVC = Path("data/collected.dvc")
LOCK = "dvc.lock"
PARAMS = "params.yaml"


class Workspace:
    """A worktree. ``root``: the checkout it belongs to; ``folder``: where it is; both absolute."""

    def __init__(self, root: Path, folder: Path, say: Callable[[str], None] = print) -> None:
        self.root, self.folder, self.say = root, folder, say

    # Git

    @property
    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD")

    @property
    def main_head(self) -> str:
        return git(self.root, "rev-parse", "HEAD")

    def open(self) -> None:
        """Make the worktree unless it is there.

        Raises:
            UserError: something else is in its place.
        """
        if self.root in self.folder.parents or self.root == self.folder:
            raise UserError(
                f"params.yaml: retrain.workspace: {self.folder} is inside of {self.root}; name a folder outside of it"
            )
        if (self.folder / ".git").is_file():  # else one that was moved with its checkout would be pruned
            git(self.root, "worktree", "repair", str(self.folder), check=False)
        git(self.root, "worktree", "prune")
        if not (self.folder / ".git").exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise UserError(
                    f"params.yaml: retrain.workspace: {self.folder} is no worktree of git and not empty; "
                    "move it away, or name another folder"
                )
            known = git(self.root, "rev-parse", "--verify", "--quiet", f"refs/heads/{BRANCH}", check=False)
            new = [] if known else ["-b", BRANCH]
            self.say(f"making a worktree for retraining: {self.folder}")
            git(self.root, "worktree", "add", "--force", *new, str(self.folder), BRANCH if known else "HEAD")
        theirs, ours = (_common(folder) for folder in (self.folder, self.root))
        if theirs != ours:
            raise UserError(f"params.yaml: retrain.workspace: {self.folder} belongs to another repository: {theirs}")
        self._share_cache()

    def reset(self) -> None:
        """Back to the last commit of the branch, tracked files and collection; ends what a killed git left behind."""
        private = Path(git(self.folder, "rev-parse", "--path-format=absolute", "--git-dir"))
        (private / "index.lock").unlink(missing_ok=True)
        if git(self.folder, "symbolic-ref", "--quiet", "HEAD", check=False) != f"refs/heads/{BRANCH}":
            git(self.folder, "checkout", "--force", BRANCH)
        git(self.folder, "reset", "--hard", "--quiet")
        if not self._committed(COLLECTED_DVC):
            (self.folder / COLLECTED_DVC).unlink(missing_ok=True)
        self.restore_collection()

    def _committed(self, path: str | Path) -> bool:
        return git(self.folder, "cat-file", "-e", f"HEAD:{path}", check=False) is not None

    def restore_collection(self) -> None:
        """Restore ``data/collected`` from its ``.dvc`` file; remove it if there is none."""
        if not (self.folder / COLLECTED_DVC).exists():
            shutil.rmtree(self.folder / COLLECTED, ignore_errors=True)
        elif self.dvc("checkout", "--quiet", "--force", str(COLLECTED_DVC), check=False):
            self.dvc("pull", "--quiet", "--force", str(COLLECTED_DVC))

    def merge_main(self) -> bool:
        """Merge the checkout's last commit; returns whether there was anything to merge.

        ``dvc.lock`` is never merged line by line: that would mix the dependencies of one side with the outputs of the
        other. The branch's own is kept, and ``dvc repro`` brings it up to date. Of ``params.yaml`` the checkout's
        is taken, and the collection named in it.

        Raises:
            UserError: the two sides changed the same lines of another file.
        """
        main = self.main_head
        if git(self.folder, "merge-base", "--is-ancestor", main, "HEAD", check=False) is not None:
            return False
        before = (self.folder / COLLECTED_DVC).read_bytes() if (self.folder / COLLECTED_DVC).exists() else b""
        if git(self.folder, "merge", "--ff-only", "--quiet", main, check=False) is None:
            self._true_merge(main)
        after = (self.folder / COLLECTED_DVC).read_bytes() if (self.folder / COLLECTED_DVC).exists() else b""
        if before != after:
            self.restore_collection()
        return True

    def _true_merge(self, main: str) -> None:
        base = git(self.folder, "merge-base", main, "HEAD", check=False)
        sides = [git(self.folder, "show", f"{side}:{PARAMS}", check=False) or "" for side in (base, "HEAD", main)]
        merged = git(self.folder, "merge", "--no-ff", "--no-commit", "--quiet", main, check=False) is not None
        for path in (LOCK, str(COLLECTED_DVC)):
            if self._committed(path):
                git(self.folder, "checkout", "HEAD", "--", path)
        under_way = git(self.folder, "rev-parse", "--verify", "--quiet", "MERGE_HEAD", check=False)
        if under_way and differs_in_collected_alone(*sides, str(COLLECTED)):
            git(self.folder, "checkout", main, "--", PARAMS)
            self._name_collection()
            git(self.folder, "add", "--", PARAMS)
        left = git(self.folder, "diff", "--name-only", "--diff-filter=U").splitlines()
        if left or not (merged or under_way):
            git(self.folder, "merge", "--abort", check=False)
            names = ", ".join(left) or "a file that git does not track is in the way"
            raise UserError(
                f"{self.folder}: the last commit of {self.root} cannot be merged into the branch {BRANCH}: {names}. "
                f"Merge it by hand: git -C {self.folder} merge {main[:12]}; or start anew from the checkout: "
                f"git worktree remove --force {self.folder} && git branch -D {BRANCH}"
            )
        git(self.folder, "commit", "--quiet", "--no-verify", "-m", f"Merge {main[:12]} into {BRANCH}")

    def commit(self, message: str, tag: str, extra: tuple[str, ...] = ()) -> str:
        """A commit of the run under an annotated tag, while the branch stays where it is; returns the commit.

        A second call for the same files gives the same commit.

        Args:
            extra: files besides ``dvc.lock``, ``params.yaml`` and ``data/collected.dvc``.
        """
        files = [name for name in (LOCK, PARAMS, str(COLLECTED_DVC), *extra) if (self.folder / name).exists()]
        git(self.folder, "add", "--force", "--", *files)
        tree = git(self.folder, "write-tree")
        for known in (f"refs/tags/{tag}^{{commit}}", "HEAD"):
            if git(self.folder, "rev-parse", "--verify", "--quiet", f"{known}^{{tree}}", check=False) == tree:
                commit = git(self.folder, "rev-parse", known)
                break
        else:
            commit = git(self.folder, "commit-tree", tree, "-p", "HEAD", "-m", message)
        git(self.folder, "tag", "--force", "--annotate", "-m", message, tag, commit)
        return commit

    def advance(self, commit: str) -> None:
        """Move the branch to ``commit``."""
        git(self.folder, "reset", "--hard", "--quiet", commit)

    # DVC

    def dvc(self, *arguments: str, check: bool = True) -> int:
        """Run a DVC command here; its last lines are in the error if it fails.

        Raises:
            UserError: it failed, and ``check`` is on.
        """
        tail: deque[str] = deque(maxlen=20)
        dvc_command.begin()
        with chdir(self.folder):
            status = dvc_command.run_dvc(list(arguments), tail.append)
        if status and check:
            said = "\n".join(tail)
            raise UserError(f"{self.folder}: dvc {' '.join(arguments)} ended with {status}:\n{said}")
        return status

    def take_incoming(self, incoming: str) -> tuple[Path, tuple[str, ...]]:
        """Folder of the batches, brought up to date where DVC tracks it, and the files of git that this changes.

        Raises:
            UserError: DVC cannot bring it up to date.
        """
        import yaml

        name = f"{incoming.rstrip('/')}.dvc"
        if not (self.folder / name).is_file():
            if (self.root / name).is_file():
                raise UserError(f"{self.root / name}: not committed, and a run could not be repeated; commit it")
            return self.root / incoming, ()
        imported = "deps" in yaml.safe_load((self.folder / name).read_text(encoding="utf-8"))
        if imported:
            self.dvc("update", "--quiet", name)
        elif self.dvc("checkout", "--quiet", "--force", name, check=False):
            self.dvc("pull", "--quiet", "--force", name)
        return self.folder / incoming, (name,) if imported else ()

    def add_collection(self) -> None:
        """Add the collection to DVC as a new version, and name it in ``params.yaml``."""
        self.dvc("add", "--quiet", str(COLLECTED))
        self._name_collection()

    def link_checkpoints(self) -> None:
        """Link the folders of checkpoints, where the checkout has them and the worktree, being git's, not."""
        for value in checkpoint_folders(parameters_at(self.folder, None)).values():
            if Path(value).is_absolute() or ".." in Path(value).parts:
                continue  # seen from the worktree, as folders of data are
            there, here = self.root / value, self.folder / value
            if there.is_dir() and not here.exists():
                here.unlink(missing_ok=True)  # a link whose end has moved
                here.parent.mkdir(parents=True, exist_ok=True)
                here.symlink_to(there.resolve())

    def _name_collection(self) -> None:
        path = self.folder / PARAMS
        write_text(path, with_collected(path.read_text(encoding="utf-8"), str(COLLECTED)))

    def _share_cache(self) -> None:
        from dvc.config import Config
        from dvc.repo import Repo

        settings = self.root / ".dvc" / "config.local"  # remotes, and what opens them
        write_text(
            self.folder / ".dvc" / "config.local", settings.read_text(encoding="utf-8") if settings.exists() else ""
        )
        with Repo(self.root) as repo, Config(str(self.folder / ".dvc")).edit("local") as config:
            config.setdefault("cache", {})["dir"] = repo.cache.local_cache_dir


def _common(folder: Path) -> Path:
    return Path(git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")).resolve()


@contextmanager
def working_in(workspace: Workspace) -> Iterator[None]:
    """Work in the worktree, and record in the store that the checkout has."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    database = sqlite_file(uri := tracking_uri())
    if database is not None and not database.is_absolute():
        uri = sqlite_uri(workspace.root / database)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        with chdir(workspace.folder):
            yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before
