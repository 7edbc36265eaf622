"""Messages of the sender to the user, kept in the outbox until a process with a terminal prints them, once."""

from __future__ import annotations

import json
from pathlib import Path

from diminuendo.core.locks import one_at_a_time
from diminuendo.core.plain_text import echo, without_secrets
from diminuendo.tracking.journal import OUTBOX

NOTES = ".notes.jsonl"  # in the outbox


def leave_note(text: str) -> None:
    """Write a message to the sender's log, and keep it for the process that waits for the delivery."""
    text = without_secrets(text)
    say(text)
    try:
        with one_at_a_time(OUTBOX / NOTES), open(OUTBOX / NOTES, "a", encoding="utf-8") as file:
            file.write(json.dumps(text) + "\n")
    except OSError as error:  # the log has it; a full disk must not end the delivery
        say(f"{OUTBOX / NOTES}: {error}")


def tell_notes() -> None:
    """Print the kept messages to stderr, and remove them."""
    path: Path = OUTBOX / NOTES
    if not path.exists():
        return
    try:
        with one_at_a_time(path), open(path, "r+", encoding="utf-8", errors="replace") as file:
            for text in dict.fromkeys(_lines(file.read())):
                say(text)
            file.truncate(0)
    except OSError as error:
        say(f"what is told in {path} cannot be read: {error}")


def say(text: str) -> None:
    echo(f"tracking: {without_secrets(text)}", err=True)


def _lines(content: str) -> list[str]:
    found = []
    for line in content.splitlines():
        try:
            found.append(str(json.loads(line)))
        except ValueError:  # an incomplete line: the disk was full
            continue
    return found
