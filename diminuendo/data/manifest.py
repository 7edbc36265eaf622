"""JSON Lines manifests: one utterance per line, with the keys that the field uses.

``audio_filepath`` (relative to the manifest) and ``text`` are required; ``duration`` (s; without it the file's header
says it), ``offset`` (s), ``id``, ``speaker``, ``gender``, ``age_group`` and ``accent`` are known; others are kept as
they are.
"""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import UNLABELLED
from diminuendo.data.text import (
    REPLACED,
    UNICODE,
    breaks_a_line,
    describe_characters,
    is_unassigned,
    normalize,
    unprintable,
)
from diminuendo.data.validation import Problems

MAY_BE_EMPTY = ("dev", "test")  # there an empty text says that nobody speaks: what is written is wrong
MOST_SECONDS = 10_000_000
_NAMES = ("speaker", "gender", "age_group", "accent")


@dataclass(frozen=True)
class Entry:
    """A well-formed line of a manifest; its audio is not checked yet."""

    file: str
    line: int
    id: str
    path: Path
    offset: float | None  # None: the utterance is the whole file
    duration: float
    text: str  # normalised; empty if it is unlabelled or, in dev and test, if nobody speaks
    keys: dict[str, Any]  # speaker, gender, … and any other keys of the line

    @property
    def speaker(self) -> str | None:
        return self.keys.get("speaker")


def read_split(path: Path, split: str, lowercase: bool | str, problems: Problems, headers: bool = True) -> list[Entry]:
    """The well-formed lines of a manifest; problems of the others go to ``problems``.

    For ``unlabelled`` no text is read.

    Args:
        headers: whether to read a duration that a line does not say from the audio's header; otherwise it is 0.
    Raises:
        UserError: the file itself cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # it need not end
            raise UserError(f"{path}: a pipe, a device or a folder, expected a manifest")
        raw_lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    entries: list[Entry] = []
    first_with_id: dict[str, int] = {}
    for number, raw in enumerate(raw_lines, 1):
        if not raw.strip():
            continue
        entry = _parse_line(raw, path, number, split, lowercase, problems, headers)
        if entry is None:
            continue
        if entry.id in first_with_id:
            problems.add(path, number, "duplicate id", f"id {entry.id!r} is that of line {first_with_id[entry.id]} too")
            continue
        first_with_id[entry.id] = number
        entries.append(entry)
    if not any(raw.strip() for raw in raw_lines):
        problems.add(path, 0, "empty manifest", "no lines; expected one JSON object per line")
    return entries


def _parse_line(
    raw: bytes, path: Path, number: int, split: str, lowercase: bool | str, problems: Problems, headers: bool
) -> Entry | None:
    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        # A byte order mark is what some editors put before the first line.
        text = raw.decode("utf-8-sig")
        line = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        problems.add(path, number, "bad JSON", f"not a JSON object in UTF-8 ({error})")
        return None
    if not isinstance(line, dict):
        problems.add(path, number, "bad JSON", f"expected a JSON object, found {_kind(line)}")
        return None
    if split == UNLABELLED:
        line.pop("text", None)
    wrong = list(_type_errors(line, texts=split != UNLABELLED))
    for message in wrong:
        problems.add(path, number, "wrong type or value", message)
    if wrong:
        return None
    text = normalize(line.get("text", ""), lowercase)
    if strange := unprintable(text):
        problems.add(
            path,
            number,
            "unprintable character",
            f"text: {describe_characters(strange)} cannot be part of a text{_why(strange)}",
        )
        return None
    if not text and split not in (UNLABELLED, *MAY_BE_EMPTY):
        problems.add(path, number, "empty text", "text: empty; remove the line, or write what is said")
        return None
    known = ("audio_filepath", "offset", "duration", "text", "id")
    keys = {key: value for key, value in line.items() if key not in known and value is not None}
    keys |= {key: str(keys[key]) for key in _NAMES if key in keys}
    audio = find_file(path.parent, line["audio_filepath"])
    if audio is None:
        there = str(path.parent / line["audio_filepath"])
        hint = "; between folders write /" if "\\" in line["audio_filepath"] else ""
        problems.add(path, number, "missing file", f"audio_filepath: there is no file {there!r}{hint}")
        return None
    offset, duration = line.get("offset"), line.get("duration")
    if duration is None and headers:
        try:
            duration = _seconds_in(audio, offset or 0.0)
        except UserError as error:
            problems.add(path, number, "no duration", f"duration: {error}")
            return None
    return Entry(
        file=str(path),
        line=number,
        id=str(line["id"]) if line.get("id") is not None else f"{split}-{number:06d}",
        path=audio,
        offset=None if offset is None else float(offset),
        duration=float(duration or 0.0),
        text=text,
        keys=keys,
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of two equal keys the last would win without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!a} is there twice")
    return found


def _why(strange: list[str]) -> str:
    """In brackets what a reader may not know of them."""
    if REPLACED in strange:
        return " (a program wrote U+FFFD for bytes that it could not read: the text is damaged)"
    return f" (in Unicode {UNICODE}, which this Python knows)" if any(is_unassigned(c) for c in strange) else ""


def find_file(folder: Path, name: str) -> Path | None:
    """The file that a manifest names, whichever way its accents are composed on the disk; None if there is none.

    Other systems write ``é`` as one character (NFC) or as two (NFD), and copies keep the one they began with.
    """
    try:
        if (direct := folder / name).is_file():
            return direct
        if name.isascii():
            return None
        at = folder
        for part in Path(name).parts:
            if not (inner := at / part).exists():
                wanted = unicodedata.normalize("NFC", part)
                inner = next((p for p in at.iterdir() if unicodedata.normalize("NFC", p.name) == wanted), inner)
            at = inner
        return at if at.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def _seconds_in(audio: Path, offset: float) -> float:
    """Length of a file from ``offset`` to its end, without decoding it, in seconds.

    Raises:
        UserError: it is not audio, or ends before.
    """
    from diminuendo.data.reading.reader import open_recording

    try:
        with open_recording(audio) as recording:
            found = recording.seconds
    except UserError as error:
        raise UserError(f"missing, and {error}") from error
    if found - offset <= 0:
        raise UserError(f"missing, and {audio} has {found:.3f} s, none after {offset:g} s")
    return found - offset


def _type_errors(line: dict[str, Any], texts: bool):
    for key, wanted in (("audio_filepath", str), ("duration", float), ("text", str)):
        if key == "text" and not texts:
            continue
        if line.get(key) is None:
            if key != "duration":
                yield f"{key}: missing"
        elif not _is(line[key], wanted):
            yield f"{key}: expected {'text' if wanted is str else 'a number of seconds'}, found {_kind(line[key])}"
    if _is(line.get("audio_filepath"), str):
        if not line["audio_filepath"].strip():
            yield "audio_filepath: empty"
        elif strange := breaks_a_line(line["audio_filepath"]):
            yield f"audio_filepath: {describe_characters(strange)} cannot be part of a name; rename the file"
    for key in ("duration", "offset"):
        if _is(line.get(key), float) and line[key] > MOST_SECONDS:
            yield f"{key}: expected less than {MOST_SECONDS:,} seconds, found {line[key]:g}"
    if _is(line.get("duration"), float) and line["duration"] <= 0:
        yield f"duration: expected more than 0 seconds, found {line['duration']}"
    offset = line.get("offset")
    if offset is not None and not (_is(offset, float) and offset >= 0):
        found = offset if _is(offset, float) else _kind(offset)
        yield f"offset: expected a number of seconds from 0, found {found}"
    for key in ("id", *_NAMES):
        value = line.get(key)
        if value is not None and not (
            isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
        ):
            yield f"{key}: expected text or a whole number, found {_kind(value)}"
        elif isinstance(value, str) and not value.strip():
            yield f"{key}: empty; leave the key out where it is unknown"
        elif isinstance(value, str) and (strange := breaks_a_line(value)):
            yield f"{key}: {describe_characters(strange)} cannot be part of a name"
    for key, value in () if _storable(line) else line.items():
        if not _storable(key) or not _storable(value):
            yield f"{describe_key(key)}: holds a lone surrogate or a number beyond what JSON can carry"


def _is(value: Any, wanted: type) -> bool:
    if wanted is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        try:
            return math.isfinite(float(value))
        except OverflowError:
            return False
    return isinstance(value, wanted)


def _storable(value: Any) -> bool:
    """Whether the value can be written again as JSON in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def describe_key(key: str) -> str:
    return key if _storable(key) else ascii(key)


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    shown = ascii(value)
    return f"{names.get(type(value), 'null')} ({shown if len(shown) <= 40 else shown[:37] + '...'})"
