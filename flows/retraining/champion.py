"""The data of the champion: its training data, and the test set for the comparison."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
from flows.retraining.workspace import Workspace

if TYPE_CHECKING:
    from diminuendo.registry import Version

PREPARED = Path("data/prepared")
KEPT = Path(".work/champion")


def corpus_of(version: Version, workspace: Workspace) -> Path:
    """The prepared corpus of a champion, by its digest: still there, or restored by DVC from the champion's commit.

    Every file is checked; a damaged corpus is skipped, and replaced if it is our own copy.

    Raises:
        UserError: it cannot be found.
    """
    kept = workspace.folder / KEPT / version.corpus
    for folder in (workspace.folder / PREPARED, kept):
        if trouble_with(folder, version.corpus) is None:
            return folder
    shutil.rmtree(workspace.folder / KEPT, ignore_errors=True)  # that of an earlier champion, or a damaged one
    kept.parent.mkdir(parents=True)
    making = kept.with_name("making.tmp")  # an interrupted copy must not look complete
    found = []
    for origin, bring in _sources(version, workspace, making):
        shutil.rmtree(making, ignore_errors=True)
        trouble = bring() or trouble_with(making, version.corpus)
        if trouble is None:
            making.rename(kept)
            return kept
        found.append(f"{origin}: {trouble}")
    shutil.rmtree(workspace.folder / KEPT, ignore_errors=True)
    raise UserError(
        f"{version.address}: its corpus {version.corpus[:12]} cannot be restored ({'; '.join(found) or 'no commit'}), "
        "and without its test set a candidate cannot be compared with it. Bring the corpus back (`dvc pull` at the "
        "champion's commit, or `dvc repro prepare` there), or promote a model whose corpus DVC has"
    )


def _sources(version: Version, workspace: Workspace, making: Path) -> Iterator[tuple[str, Callable[[], str | None]]]:
    """Where the corpus may be, and what brings it to ``making`` and says why it could not."""
    prepared = workspace.root / PREPARED
    if _digest(prepared) == version.corpus:
        # A copy: a person may prepare another corpus there at any time.
        yield str(prepared), lambda: _copy(prepared, making)
    for revision in dict.fromkeys(filter(None, (version.git_tag, version.git_commit))):
        yield revision[:20], lambda revision=revision: _get(workspace, revision, making)


def _copy(source: Path, target: Path) -> str | None:
    try:
        shutil.copytree(source, target)
    except OSError as error:  # it is being replaced; shutil.Error is one of these
        return f"cannot be copied ({type(error).__name__})"
    return None


def _get(workspace: Workspace, revision: str, target: Path) -> str | None:
    status = workspace.dvc("get", "--quiet", "--rev", revision, "-o", str(target), ".", str(PREPARED), check=False)
    return "DVC does not have it" if status else None


def trouble_with(corpus: Path, digest: str) -> str | None:
    """Why a folder is not the whole corpus of this digest; None if it is."""
    if (found := _digest(corpus)) != digest:
        return f"another corpus, {(found or 'unknown')[:12]}"
    from diminuendo.data.prepared import PreparedCorpus

    try:
        PreparedCorpus.open(corpus)
    except (OSError, UserError) as error:
        return str(error)
    return None


def _digest(corpus: Path) -> str | None:
    try:
        return json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
