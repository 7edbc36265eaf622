"""``diminuendo --version``: the release, and the commit if the code is that of a checkout."""

from __future__ import annotations

from pathlib import Path

import diminuendo
from diminuendo.provenance.git import git


def version_in_words() -> str:
    """Such as ``0.1.0 (commit 24e19a5b1c2d, with changes)``; without git or a checkout the release alone."""
    root = Path(diminuendo.__file__).resolve().parents[1]
    is_checkout = git(root, "rev-parse", "--show-toplevel").strip() == str(root)
    commit = git(root, "rev-parse", "--verify", "--quiet", "HEAD").strip() if is_checkout else ""
    if not commit:  # the package is installed, perhaps inside the repository of something else
        return diminuendo.__version__
    changed = git(root, "status", "--porcelain", "--untracked-files=no", "--", "diminuendo")
    return f"{diminuendo.__version__} (commit {commit[:12]}{', with changes' if changed else ''})"
