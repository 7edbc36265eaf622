"""What the lines of several manifests say together: texts that contradict each other, speakers in two splits."""

from __future__ import annotations

from diminuendo.data.manifest import Entry
from diminuendo.data.prepared import UNLABELLED
from diminuendo.data.validation import Problems

CONTRADICTION = "contradictory texts"


def contradiction(entry: Entry, other: Entry) -> str:
    """What to say of the same audio with two texts: no model can learn or write both."""
    return (
        f"text: {entry.text[:60]!r}, but the same audio says {other.text[:60]!r} in line {other.line} of {other.file}; "
        "keep the one that is right"
    )


def check_texts(splits: dict[str, list[Entry]], problems: Problems) -> None:
    """Report every part of a file that has two texts; ``prepare`` finds copies of it as well, by its samples."""
    for split, entries in splits.items():
        first: dict[tuple[str, float | None, float], Entry] = {}
        for entry in entries if split != UNLABELLED else ():
            # Of the whole of a file a line need not say how long it is, and two may round it differently.
            place = (str(entry.path), entry.offset, entry.duration if entry.offset is not None else 0.0)
            if (other := first.setdefault(place, entry)).text != entry.text:
                problems.add(entry.file, entry.line, CONTRADICTION, contradiction(entry, other))


def dotted_capitals(splits: dict[str, list[Entry]], lowercase: bool | str) -> str | None:
    """A note where İ became two characters, i and a dot above, as it does in lower case outside of Turkish."""
    found = [entry for entries in splits.values() for entry in entries if "i\u0307" in entry.text]
    if lowercase is not True or not found:
        return None
    return (
        f"{found[0].file}:{found[0].line}: i with a second dot (U+0307) in {len(found)} text(s), from the capital İ; "
        "for Turkish or Azerbaijani set text.lowercase: tr or az"
    )


def check_speakers(splits: dict[str, list[Entry]], problems: Problems) -> int:
    """Report every speaker who is in two splits; returns how many utterances name no speaker."""
    heard: dict[str, dict[str, list[Entry]]] = {}
    for split, entries in splits.items():
        split = "train" if split == UNLABELLED else split  # both are used for training
        for entry in entries:
            if entry.speaker is not None:
                heard.setdefault(entry.speaker, {}).setdefault(split, []).append(entry)
    for speaker, where in heard.items():
        (home, own), *others = where.items()
        for split, entries in others:
            problems.add(
                entries[0].file,
                entries[0].line,
                "speaker in two splits",
                f"speaker {speaker!r} has {len(entries)} utterance(s) in {split} from this line on, and {len(own)} "
                f"in {home} ({own[0].file}:{own[0].line}); every speaker belongs to one split",
            )
    return sum(entry.speaker is None for entries in splits.values() for entry in entries)
