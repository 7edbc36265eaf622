"""Characters of dev and test that no model of the family can write, as ``text.unknown`` has it.

``error`` refuses them. ``replace`` puts U+FFFD in their place in test, where each is an error that no model can avoid.
``drop`` leaves them out. Dev is read in tokens while a model trains, and no token writes U+FFFD: there both leave them
out. No utterance is left out: an easier test set would flatter every model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from diminuendo.core.files import write_json
from diminuendo.data.manifest import Entry
from diminuendo.data.text import describe_characters
from diminuendo.data.unknown_record import RECORD
from diminuendo.data.validation import Problems

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MEASURED = ("dev", "test")
_SHOWN = 8  # characters in a sentence


class UnknownCharacters:
    """Settles them, and counts what it did.

    Args:
        how: ``replace`` or ``drop``.
    """

    def __init__(self, how: str):
        self.how = how
        self.counts: dict[str, Counter[str]] = {split: Counter() for split in MEASURED}
        self.utterances: Counter[str] = Counter()

    def settle(
        self, splits: dict[str, list[Entry]], strange: Callable[[str], Iterable[str]], problems: Problems
    ) -> None:
        """Change the texts of dev and test in ``splits``.

        Args:
            strange: the characters of a text that cannot be written.
        """
        for split in MEASURED:
            splits[split] = [self._settled(entry, split, set(strange(entry.text)), problems) for entry in splits[split]]

    def _settled(self, entry: Entry, split: str, unknown: set[str], problems: Problems) -> Entry:
        put = REPLACEMENT if self.how == "replace" and split == "test" else ""
        unknown -= {" ", put}
        if not unknown:
            return entry
        self.counts[split].update(character for character in entry.text if character in unknown)
        self.utterances[split] += 1
        text = "".join(put if character in unknown else character for character in entry.text)
        text = " ".join(text.split())
        if not text:
            problems.add(
                entry.file,
                entry.line,
                "empty text",
                f"text {entry.text[:60]!r}: nothing is left of it once characters that train lacks are left out",
            )
        return replace(entry, text=text)

    def tell(self, say: Callable[[str], None], out: Path) -> None:
        """Say what was done, and keep the counts with the corpus."""
        for split in MEASURED:
            if counts := self.counts[split]:
                most = describe_characters(character for character, _ in counts.most_common(_SHOWN))
                more = " …" if len(counts) > _SHOWN else ""
                done = f"replaced by {REPLACEMENT}" if self.how == "replace" and split == "test" else "left out"
                say(
                    f"{split}: {counts.total()} character(s) in {self.utterances[split]} utterance(s) {done} "
                    f"(text.unknown: {self.how}), as no model can write them: {most}{more}"
                )
        if any(self.counts.values()):
            write_json(out / RECORD, {split: dict(counts) for split, counts in self.counts.items() if counts})
