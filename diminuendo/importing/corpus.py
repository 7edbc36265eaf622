"""A source becomes a folder of manifests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.core.files import fresh_folder, write_json, write_text
from diminuendo.data.prepared import SPLITS
from diminuendo.data.recordings import in_order
from diminuendo.data.text import describe_characters, normalize, unprintable
from diminuendo.importing.fields import called, shown
from diminuendo.importing.sound import FOLDER, keep
from diminuendo.importing.splits import Owned, divide
from diminuendo.importing.utterance import Found, Unusable, Utterance

RECORD = "import.json"  # marks a folder that was written here, which a later import may replace
LEFT_OUT = "left_out.txt"
_WRITTEN = {RECORD, LEFT_OUT, FOLDER, *(f"{split}.jsonl" for split in SPLITS)}
_EMPTY = "no utterances in it; expected a line for each of them, or a recording with its transcript beside it"
_NAMES = ("speaker", "gender", "age_group", "accent")


@dataclass(frozen=True)
class Imported:
    """What came out: the lines of each manifest, the rates of their audio (Hz), what was left out, and sentences."""

    folder: Path
    lines: dict[str, list[dict[str, Any]]]
    rates: list[int]
    left_out: list[Unusable]
    told: list[str]


@dataclass
class _Line:
    """A manifest line before it has its split."""

    keys: dict[str, Any]
    owned: Owned
    path: Path
    rate: int
    unkept: dict[str, str]  # keys whose values a manifest cannot have, and how these begin


def import_corpus(
    found: Found, source: str, out: Path, dev: float, test: float, again: bool = False, notes: Sequence[str] = ()
) -> Imported:
    """Write ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl`` to ``out``, all of them or nothing.

    Args:
        found: of a reader.
        source: its name, for ``import.json``.
        dev, test: shares of the utterances for splits that the source does not have.
        again: forget the splits of the source.
        notes: of the reader while it reads; they are part of the error where nothing could be used.
    Raises:
        UserError: ``out`` holds something else, or nothing could be used.
    """
    check_out(out)
    with fresh_folder(out) as folder:
        kept: list[_Line] = []
        left_out: list[Unusable] = []
        seen: dict[str, str] = {}
        unkept: dict[str, list[str]] = {}
        for item in in_order(lambda pair: _looked_at(*pair, folder), enumerate(found), available_cores()):
            item = item if isinstance(item, Unusable) else _unless_seen(item, seen, folder)
            if isinstance(item, Unusable):
                left_out.append(item)
            else:
                kept.append(item)
                for key, value in item.unkept.items():
                    unkept.setdefault(key, []).append(value)
        if not kept:
            told = "\n".join(f"  {line}" for line in (*told_reasons(left_out), *notes))
            reason = "nothing can be used of it" if left_out else _EMPTY
            raise UserError(f"{source}: {reason}\n{told}".rstrip())
        for line in kept:
            if line.path.is_absolute() and line.path.is_relative_to(os.path.abspath(out)):
                raise UserError(f"{line.path}: is in {out}, which would be replaced; give another --out")
        division = divide([line.owned for line in kept], dev, test, again)
        told = list(division.told) + [_told_unkept(key, values) for key, values in unkept.items()]
        lines: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        for line, split in zip(kept, division.splits):
            lines[split].append(_finished(line, out))
        if not division.by_speaker and any("speaker" in line.keys for line in kept):
            told.append("the manifests do not name the speakers, as each would be in two splits")
            lines = {s: [{k: v for k, v in one.items() if k != "speaker"} for one in own] for s, own in lines.items()}
        for split in SPLITS:
            text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines[split])
            write_text(folder / f"{split}.jsonl", text)
        if left_out:
            write_text(folder / LEFT_OUT, "".join(f"{_one_line(item)}\n" for item in left_out))
        counts = {split: len(own) for split, own in lines.items()}
        write_json(folder / RECORD, {"source": source, "utterances": counts, "left_out": len(left_out), "told": told})
    return Imported(out, lines, [line.rate for line in kept], left_out, told)


def check_out(out: Path) -> None:
    """Refuse to replace a folder that is not an earlier import, or to which something was added.

    Raises:
        UserError: that is what is there.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir() or out.is_symlink():
        raise UserError(f"{out}: is no folder; give another --out")
    names = {path.name for path in out.iterdir()}
    if names and RECORD not in names:
        raise UserError(f"{out}: is there already, and no import wrote it; give another --out")
    if more := sorted(names - _WRITTEN):
        raise UserError(f"{out}: holds {more[0]!r}, which no import wrote and which would be lost; give another --out")


def _looked_at(number: int, item: Utterance | Unusable, folder: Path) -> _Line | Unusable:
    if isinstance(item, Unusable):
        return item
    try:
        text, (keys, unkept) = _checked_text(item.text), _checked_keys(item)
        sound = keep(item.sound, folder, number)
    except Unusable as error:
        return error.at(item.place)
    said = {"audio_filepath": "", **({} if sound.offset is None else {"offset": sound.offset})}
    said |= {"duration": sound.duration, "text": text, **keys}
    recording = item.recording or str(sound.path)
    return _Line(said, Owned(item.split, keys.get("speaker"), recording), sound.path, sound.rate, unkept)


def _checked_text(text: str) -> str:
    normal = normalize(text, lowercase=False)
    if strange := unprintable(normal):
        raise Unusable("a text with control characters or codes of no character", describe_characters(strange))
    if not normal:
        raise Unusable("an empty text")
    return normal


def _checked_keys(item: Utterance) -> tuple[dict[str, Any], dict[str, str]]:
    """Id, speaker and what else is known, as a manifest may have it; and the keys whose values are no such thing."""
    keys = {"id": item.id, "speaker": item.speaker, **item.keys}
    kept: dict[str, Any] = {}
    unkept: dict[str, str] = {}
    for key, value in keys.items():
        value = normalize(value, lowercase=False) if isinstance(value, str) else value
        if value is None or value == "" or (isinstance(value, float) and value != value):
            continue
        if not isinstance(value, (str, int, float)):
            unkept[key] = f"{called(value)}, {shown(value)}"
            continue
        try:
            json.dumps({key: value}, allow_nan=False, ensure_ascii=False).encode()
        except ValueError:
            raise Unusable(f"{key!a}: a value that JSON cannot carry", ascii(value)[:60]) from None
        if isinstance(value, str) and unprintable(value):
            raise Unusable(f"{key}: control characters", ascii(value)[:60])
        kept[key] = str(value) if key in _NAMES else value
    return kept, unkept


def _told_unkept(key: str, values: list[str]) -> str:
    return f"{key!a}: {len(values)} × neither text nor a number, and not kept (first: {values[0]})"


def _unless_seen(line: _Line, seen: dict[str, str], folder: Path) -> _Line | Unusable:
    name = line.keys.get("id")
    if name is not None and name in seen:
        if not line.path.is_absolute():  # written for nothing
            (folder / line.path).unlink()
        return Unusable("a second utterance of one id", f"{name}, as at {seen[name]}", str(line.path))
    if name is not None:
        seen[name] = str(line.path)
    return line


def _finished(line: _Line, out: Path) -> dict[str, Any]:
    """The line with the path of its audio: relative to ``out`` where it is beside or below it, otherwise absolute."""
    path, place = line.path, Path(os.path.abspath(out))
    if path.is_absolute() and path.is_relative_to(place.parent):
        path = Path(os.path.relpath(path, place))
    return {**line.keys, "audio_filepath": path.as_posix()}


def told_reasons(left_out: list[Unusable]) -> Iterator[str]:
    """One sentence for each reason: how many, and the first of them."""
    kinds: dict[str, list[Unusable]] = {}
    for item in left_out:
        kinds.setdefault(item.reason, []).append(item)
    for reason, items in sorted(kinds.items(), key=lambda pair: -len(pair[1])):
        first = ": ".join(filter(None, (items[0].place, items[0].detail)))
        yield f"{len(items)} × {reason}" + (f" ({'first: ' if len(items) > 1 else ''}{first})" if first else "")


def _one_line(item: Unusable) -> str:
    return " ".join(str(item).encode("utf-8", "backslashreplace").decode().split())
