"""What an import says when it is done: what there is, what was left out, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diminuendo.data.prepared import SPLITS
from diminuendo.data.text import describe_characters
from diminuendo.importing.corpus import LEFT_OUT, Imported, told_reasons
from diminuendo.importing.punctuation import told_punctuation

_SHOWN = 120  # characters of an alphabet
_MUCH = 0.1  # share of what was found
_REPLACED = {
    "dev": "leaves these utterances of dev out",
    "test": "puts � in their place, an error that no model can avoid",
}


def summary(found: Imported, notes: list[str]) -> Iterator[str]:
    """Lines of text. ``notes``: the reader's."""
    yield from notes
    yield ""
    yield f"{'split':<6} {'utterances':>10} {'minutes':>9} {'speakers':>8} {'characters':>10}"
    for split in SPLITS:
        lines = found.lines[split]
        minutes = sum(line["duration"] for line in lines) / 60
        speakers = len({line["speaker"] for line in lines if "speaker" in line}) or "unknown"
        yield f"{split:<6} {len(lines):>10} {minutes:>9.1f} {speakers:>8} {len(characters(lines)):>10}"
    yield ""
    yield from found.told
    known = characters(found.lines["train"])
    shown = "".join(sorted(known)[:_SHOWN])
    yield f"characters of train: {shown}{' …' if len(known) > _SHOWN else ''}"
    unknown = any(characters(found.lines[split]) - known for split in ("dev", "test"))
    if (told := told_punctuation((line["text"] for line in found.lines["train"]), unknown)) is not None:
        yield told
    for split in ("dev", "test"):
        if strange := sorted(characters(found.lines[split]) - known):
            yield (
                f"{split} has {len(strange)} character(s) that train has not: {describe_characters(strange[:8])}"
                f"{' …' if len(strange) > 8 else ''}; the parameters below have text.unknown: replace, which "
                f"{_REPLACED[split]}"
            )
    texts = {line["text"] for line in found.lines["train"]}
    again = sum(line["text"] in texts for line in found.lines["test"])
    if again:
        yield f"{again} of {len(found.lines['test'])} texts of test are texts of train too"
    if found.left_out:
        yield f"left out, all of them in {found.folder / LEFT_OUT}:"
        yield from (f"  {line}" for line in told_reasons(found.left_out))


def warning(found: Imported) -> str | None:
    """A sentence where so much was left out that the rest is hardly what was meant; None where it was not."""
    used, lost = sum(map(len, found.lines.values())), len(found.left_out)
    if lost <= _MUCH * (used + lost):
        return None
    return (
        f"warning: {lost} of {used + lost} were left out, more than a tenth; the reasons stand above, and every case "
        f"in {found.folder / LEFT_OUT}. If you did not mean that, mend the source and import again"
    )


def characters(lines: list[dict[str, Any]]) -> set[str]:
    """Those of the texts, without the space; upper and lower case count as one, as most parameter files have it."""
    return set().union(*(line["text"].lower() for line in lines)) - {" "}
