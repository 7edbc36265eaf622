"""What DVC prints while it brings stages up to date, and which of it concerns our user."""

from __future__ import annotations

# DVC's messages for people who call it by hand. The stage's own output is passed on, and so are errors.
NOT_FOR_OUR_USER = (
    "> ",
    "Updating lock file",
    "Generating lock file",
    "To track the changes",
    "git add ",
    "To enable auto staging",
    "dvc config ",
    "Use `dvc push`",
    "Data and pipelines are up to date",
)


def concerns_our_user(line: str) -> bool:
    """Whether a line, without the white space around it, is neither empty nor advice of DVC's."""
    return bool(line) and not line.startswith(NOT_FOR_OUR_USER)
