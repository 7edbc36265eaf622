"""From how many repeats on a text counts as a repetition loop: here, and by Whisper's ratio of compression.

``python -m benchmarks.repetition_loops`` repeats phrases of several lengths, alone and after a sentence, until either
says so. With files (``test.jsonl`` of a corpus; ``hypotheses.jsonl`` or ``noisy.jsonl`` of a member) it counts the
texts in them that either finds.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tabulate import tabulate

from diminuendo.cli.errors import plain_errors
from diminuendo.core.errors import UserError
from diminuendo.metrics.repetition import has_loop

MOST_COMPRESSION = 2.4  # of text by zlib, in Whisper's own decoding
PHRASES = (
    "no",
    "thank you",
    "thanks for watching",
    "please subscribe to my channel",
    "i am going to be a bad person today and tomorrow",
)
SENTENCE = (
    "the quick brown fox jumped over the lazy dog while nobody in the village was looking at the old church near the "
    "river bank"
)


def compresses(text: str) -> bool:
    """Whether a text is more than ``MOST_COMPRESSION`` times as long as what zlib makes of it."""
    content = text.encode()
    return len(content) > MOST_COMPRESSION * len(zlib.compress(content))


def first(found: Callable[[str], bool], phrase: str, before: str = "") -> int:
    """How often a phrase must stand in a row."""
    return next(times for times in count(1) if found(" ".join([*filter(None, [before]), *[phrase] * times])))


def in_file(path: Path) -> list[object]:
    """A row for a file: its texts, and how many of them either finds; references are compared with nothing.

    Raises:
        UserError: it cannot be read, or has no texts.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = [line["hypothesis"] if "hypothesis" in line else line["text"] for line in lines]
        references = [line.get("reference", "") for line in lines]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: expected lines of JSON with 'hypothesis' or 'text' ({error})") from None
    loops = sum(map(has_loop, texts, references))
    return [path, len(texts), loops, sum(map(compresses, texts))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.repetition_loops", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    given = parser.parse_args()
    with plain_errors():
        if given.files:
            print(tabulate(map(in_file, given.files), ("file", "texts", "loops", f"above {MOST_COMPRESSION}")))
            return
        rows = [
            [phrase, first(has_loop, phrase), first(compresses, phrase), first(compresses, phrase, SENTENCE)]
            for phrase in PHRASES
        ]
        print(tabulate(rows, ("phrase", "loop", f"above {MOST_COMPRESSION}", "after a sentence of 24 words")))


if __name__ == "__main__":
    main()
