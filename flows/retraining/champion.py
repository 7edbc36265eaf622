"""The data of the champion: what it was trained on, and the test set that it is to be beaten on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.errors import UserError
from flows.retraining.workspace import Workspace

if TYPE_CHECKING:
    from diminuendo.registry import Version

PREPARED = Path("data/prepared")
KEPT = Path(".work/champion")


def corpus_of(version: Version, workspace: Workspace) -> Path:
    """The prepared corpus of a champion, by its digest: still at hand, or as DVC had it at the champion's commit.

    Raises:
        UserError: neither has it.
    """
    kept = workspace.folder / KEPT / version.corpus
    for folder in (workspace.folder / PREPARED, workspace.root / PREPARED, kept):
        if _digest(folder) == version.corpus:
            return folder
    shutil.rmtree(workspace.folder / KEPT, ignore_errors=True)  # that of the champion before
    kept.parent.mkdir(parents=True)
    found = []
    for revision in filter(None, (version.git_tag, version.git_commit)):
        # A temporary name: a killed copy must not be taken for a whole one.
        making = kept.with_name("making.tmp")
        shutil.rmtree(making, ignore_errors=True)
        if workspace.dvc("get", "--quiet", "--rev", revision, "-o", str(making), ".", str(PREPARED), check=False):
            found.append(f"{revision[:20]}: DVC does not have it")
        elif _digest(making) != version.corpus:
            found.append(f"{revision[:20]}: another corpus, {(_digest(making) or 'unknown')[:12]}")
        else:
            making.rename(kept)
            return kept
    shutil.rmtree(workspace.folder / KEPT, ignore_errors=True)
    raise UserError(
        f"{version.address}: its corpus {version.corpus[:12]} cannot be restored ({'; '.join(found) or 'no commit'}), "
        "and without its test set a candidate cannot be compared with it. Bring the corpus back (`dvc pull` at the "
        "champion's commit, or `dvc repro prepare` there), or promote a model whose corpus DVC has"
    )


def _digest(corpus: Path) -> str | None:
    try:
        return json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
