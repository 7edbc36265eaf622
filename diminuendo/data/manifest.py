"""JSON Lines manifests: one utterance per line, with the keys that the field uses.

``audio_filepath`` (relative to the manifest) and ``text`` are required; ``duration`` (s; without it the file's header
says it), ``offset`` (s), ``id``, ``speaker``, ``gender``, ``age_group`` and ``accent`` are known; others are kept as
they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import SPLITS, UNLABELLED
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

_TO_DO_WITHOUT_ANY = (
    "`diminuendo import` writes them from recordings with transcripts, or from a corpus of another format"
)
_TO_DO_WITHOUT_SOME = "Move the lines of some speakers of train.jsonl to the missing files"
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


CONTRADICTION = "contradictory texts"


def contradiction(entry: Entry, other: Entry) -> str:
    """What to say of the same audio with two texts: no model can learn or write both."""
    return (
        f"text: {entry.text[:60]!r}, but the same audio says {other.text[:60]!r} in line {other.line} of {other.file}; "
        "keep the one that is right"
    )


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


def read_splits(
    folder: Path, lowercase: bool | str, dev_fraction: float | None, seed: int, problems: Problems, headers: bool = True
) -> dict[str, list[Entry]]:
    """Train, dev and test of a folder, and unlabelled if it is there; for ``headers`` see ``read_split``.

    Raises:
        UserError: the folder or one of the three files is missing, and dev cannot be split off either.
    """
    if not folder.is_dir():
        raise UserError(
            f"data.path: there is no folder {folder}; expected one with train.jsonl, dev.jsonl and test.jsonl"
        )
    missing = [split for split in SPLITS if not (folder / f"{split}.jsonl").is_file()]
    carve = dev_fraction is not None
    if carve and "dev" not in missing:
        raise UserError(f"{folder / 'dev.jsonl'} is there and data.dev_fraction is set: remove one of the two")
    if lacking := [split for split in missing if not (carve and split == "dev")]:
        names = ", ".join(f"{split}.jsonl" for split in lacking)
        hint = "; or set data.dev_fraction, e.g. 0.1, to split dev off train by speaker" if "dev" in lacking else ""
        raise UserError(
            f"{folder}: {names} missing; a corpus needs train.jsonl, dev.jsonl and test.jsonl, each with speakers of "
            f"its own. {_TO_DO_WITHOUT_ANY if len(missing) == len(SPLITS) else _TO_DO_WITHOUT_SOME + hint}"
        )
    splits = {
        split: read_split(folder / f"{split}.jsonl", split, lowercase, problems, headers)
        for split in SPLITS
        if split not in missing
    }
    if carve:
        splits["train"], splits["dev"] = split_off_dev(splits["train"], dev_fraction, seed)
    found = {split: splits[split] for split in SPLITS}
    if (path := folder / f"{UNLABELLED}.jsonl").is_file():
        found[UNLABELLED] = read_split(path, UNLABELLED, lowercase, problems, headers)
    return found


def read_collected(
    folder: Path, lowercase: bool | str, problems: Problems, headers: bool = True
) -> dict[str, list[Entry]]:
    """Those of the four manifests that are in a folder; generated ids differ from those of the source.

    For ``headers`` see ``read_split``.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(
            f"data.collected: there is no folder {folder}; expected one with any of train.jsonl, dev.jsonl and "
            "test.jsonl, or without them; if DVC tracks it, run `dvc checkout`"
        )
    found = {}
    for split in (*SPLITS, UNLABELLED):
        if (path := folder / f"{split}.jsonl").is_file():
            entries = read_split(path, split, lowercase, problems, headers)
            found[split] = [
                replace(e, id=f"collected-{e.id}") if e.id == f"{split}-{e.line:06d}" else e for e in entries
            ]
    return found


def split_off_dev(train: list[Entry], fraction: float, seed: int) -> tuple[list[Entry], list[Entry]]:
    """Train and dev: whole speakers, in an order drawn from the seed, until dev has ``fraction`` of the utterances.

    Utterances without a speaker count as speakers of their own.
    """
    if not train:
        return train, []

    def owner(entry: Entry) -> str:
        return f"speaker {entry.speaker}" if entry.speaker is not None else f"utterance {entry.id}"

    order = sorted({owner(e) for e in train}, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    if len(order) < 2:
        raise UserError(
            f"{train[0].file}: data.dev_fraction needs two speakers or more in train, found {order[0]!r} only"
        )
    sizes: dict[str, int] = {}
    for entry in train:
        sizes[owner(entry)] = sizes.get(owner(entry), 0) + 1
    chosen: set[str] = set()
    count = 0
    for name in order[:-1]:
        if count >= fraction * len(train):
            break
        chosen.add(name)
        count += sizes[name]
    dev = [
        replace(e, id=e.id.replace("train-", "dev-", 1) if e.id == f"train-{e.line:06d}" else e.id)
        for e in train
        if owner(e) in chosen
    ]
    return [e for e in train if owner(e) not in chosen], dev


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
