"""Brings one stage of DVC's graph up to date."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from diminuendo.core.disk import ROOM
from diminuendo.provenance.dvc_output import concerns_our_user
from flows import dvc_command

UNCHANGED, FROM_CACHE, MADE = "unchanged", "taken from DVC's cache", "made anew"
USER_ERROR = "exited with 2"  # what DVC says when a stage ended with `diminuendo.core.errors.USER_ERROR`


class StageFailed(RuntimeError):
    """A stage ended with an error; ``transient`` if running it again may help."""

    def __init__(self, stage: str, status: int, tail: list[str]) -> None:
        text = "\n".join(tail)
        # A user's mistake does not go away. Anything else (memory, a disk, a network, a lock) may work the next time,
        # and a training continues from its checkpoint.
        self.transient = not any(words in text for words in (USER_ERROR, ROOM))
        # After a progress bar the message does not begin a line.
        told = (line[line.index("error: ") :] for line in tail if "error: " in line)
        reason = next(told, tail[-1] if tail else "no output")
        super().__init__(f"{stage} failed with exit status {status}: {reason}")


def bring_up_to_date(stage: str, on_line: Callable[[str], None], force: bool = False) -> str:
    """``dvc repro --single-item``; returns ``UNCHANGED``, ``FROM_CACHE`` or ``MADE``.

    Args:
        stage: its address, such as ``distill@student`` or ``families/x/dvc.yaml:prepare``.
        on_line: receives what the stage prints, line by line.
        force: run it even if nothing changed.

    Raises:
        StageFailed: it ended with an error.
    """
    tail: deque[str] = deque(maxlen=40)
    found = {}

    def hear(line: str) -> None:
        tail.append(line)
        if "didn't change, skipping" in line:
            found["outcome"] = UNCHANGED
        elif "is cached - skipping run" in line:
            found["outcome"] = FROM_CACHE
        elif concerns_our_user(line):
            on_line(line)

    status = dvc_command.run_dvc(["repro", "--single-item", *(["--force"] if force else []), stage], hear)
    if status:
        raise StageFailed(stage, status, list(tail))
    return found.get("outcome", MADE)
