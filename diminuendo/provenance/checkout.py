"""Our sources as they were at a commit, for a search through many commits."""

from __future__ import annotations

import atexit
import io
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from diminuendo.artifact.code import PACKAGES
from diminuendo.core.errors import UserError
from diminuendo.core.git import cause_in_words, run_git
from diminuendo.provenance.git import git


class Checkout:
    """The sources of one commit at a time, in a temporary folder of its own.

    Two commits differ in few files, so that going from one to the next writes only these.
    """

    def __init__(self, root: Path):
        self._root = root
        self._folder = Path(tempfile.mkdtemp(prefix="diminuendo-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self._there: dict[str, str] = {}  # file to its git object

    def at(self, trees: tuple[str, ...]) -> Path:
        """The folder, with what the git trees of ``PACKAGES`` hold and nothing else.

        Raises:
            UserError: git cannot read a tree.
        """
        for package, tree in zip(PACKAGES, trees, strict=True):
            self._become(package, tree)
        return self._folder

    def _become(self, package: str, tree: str) -> None:
        wanted = {f"{package}/{name}": content for name, content in _files(self._root, tree).items()}
        for name in [name for name in self._there if name.startswith(f"{package}/")]:
            if wanted.get(name) != self._there[name]:
                self._remove(name)
        missing = [name for name in wanted if name not in self._there]
        if missing:
            paths = [] if len(missing) == len(wanted) else [name.removeprefix(f"{package}/") for name in missing]
            self._unpack(package, tree, paths)
            self._there |= {name: wanted[name] for name in missing}

    def _remove(self, name: str) -> None:
        del self._there[name]
        path = self._folder / name
        path.unlink()
        with suppress(OSError):  # not empty; an empty folder could stand where a file comes
            while (path := path.parent) != self._folder:
                path.rmdir()

    def _unpack(self, package: str, tree: str, paths: list[str]) -> None:
        """``paths`` of the tree; none: all."""
        command = ("--literal-pathspecs", "archive", "--format=tar", f"--prefix={package}/", tree, "--", *paths)
        archive = run_git(self._root, *command)
        if archive.returncode:
            raise UserError(cause_in_words(self._root, archive.stderr))
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(self._folder, filter="data")


def _files(root: Path, tree: str) -> dict[str, str]:
    """The path of each file in a git tree to its object."""
    listing = git(root, "ls-tree", "-r", "-z", tree)
    entries = (entry.split("\t", 1) for entry in listing.split("\0") if entry)
    return {name: " ".join(facts.split()[:3:2]) for facts, name in entries if facts.split()[1] == "blob"}
