"""YAML from whoever wrote it: any bytes become plain values within limits, or one sentence.

Files larger or deeper than any parameter file, aliases that multiply, values that are no text, number, truth, list or
mapping, and characters that no name has are refused before a class of a section sees them.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line, visible

MOST_BYTES = 1_000_000
MOST_DEPTH = 40  # of lists and mappings in each other
MOST_VALUES = 100_000  # with those of aliases wherever they are used
MOST_CHARACTERS = 10_000  # of one text
MOST_DIGITS = 400

_LOADER = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader
# Octal, binary and sexagesimal numbers, and truths of YAML 1.1: in 1.2 they are decimal numbers or text, or vice versa.
_TWO_WAYS = re.compile(
    r"[-+]?0[0-9_]+|[-+]?0o[0-7]+|[-+]?0b[01_]+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"
)
_MERGE = "tag:yaml.org,2002:merge"


class _UniqueKeyLoader(_LOADER):
    """YAML keeps the last of two equal keys without a word; a user would never know which one ran."""


def _mapping_without_duplicates(loader, node, deep=False):
    seen = set()
    for key, _ in node.value:
        if key.tag == _MERGE:
            raise yaml.constructor.ConstructorError(
                None, None, "merge keys (<<) are not read here; write the keys themselves", key.start_mark
            )
        found = loader.construct_object(key, deep=deep)
        if not isinstance(found, str | int | float):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text or a number", key.start_mark)
        if found in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {found!r} is there twice", key.start_mark)
        seen.add(found)
    return loader.construct_mapping(node, deep=deep)


_UniqueKeyLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: _mapping_without_duplicates(loader, node, deep=True),
)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, as text, numbers, truths, lists and mappings.

    Raises:
        UserError: whatever is wrong with it, in one sentence with the line.
    """
    content = _bytes_of(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line}: the byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: str | Path) -> Any:
    """The same of a text; ``path`` names it in errors."""
    try:
        _check_events(text, path)
        found = yaml.load(_named(text, path), Loader=_UniqueKeyLoader)  # a subclass of the safe loader
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {_in_a_line(error)}") from error
    except UserError:
        raise
    except Exception as error:  # of the constructors, such as a date with 99 months, or a number of 5000 digits
        raise UserError(f"{path}: holds a value that cannot be read ({one_line(error)[:200]})") from error
    if (reason := _not_plain(found)) is not None:
        raise UserError(f"{path}: {reason}")
    return found


def _bytes_of(path: Path) -> bytes:
    """The whole file; a pipe, which might never end, a device or a folder is not opened."""
    advice = "run from the repository's root"
    try:
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode):
            with open(path, "rb") as file:
                content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); {advice}") from error
    if stat.S_ISDIR(found.st_mode):
        raise UserError(
            f"{path}: a folder, expected a parameter file such as params.yaml; data are named in one, by data.path"
        )
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: cannot be read: a pipe or a device, expected a parameter file such as params.yaml")
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES:,} bytes, expected a file of parameters")
    return content


def _named(text: str, path: str | Path) -> io.StringIO:
    stream = io.StringIO(text)
    stream.name = visible(str(path))  # YAML's errors say it
    return stream


def _check_events(text: str, path: str | Path) -> None:
    """Depth and plain values, which are read one by one: building nested values takes the stack of the machine."""
    depth = 0
    for event in yaml.parse(_named(text, path), Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                line = event.start_mark.line + 1
                raise UserError(f"{path}: line {line}: more than {MOST_DEPTH} lists and sections in each other")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _TWO_WAYS.fullmatch(event.value):
            raise UserError(
                f"{path}: line {event.start_mark.line + 1}: {event.value[:60]} means one thing in YAML 1.1 and another "
                "in 1.2; put text in quotes, write a number in decimal digits without 0 in front, and true or false"
            )


def _not_plain(found: Any) -> str | None:
    """What is in it that no parameter can be; it is walked without recursion, aliases as often as they are used."""
    waiting: list[tuple[Any, int, Any]] = [(found, 0, None)]  # a value, its depth, and (place above, key)
    count = 0
    while waiting:
        value, depth, place = waiting.pop()
        count += 1
        if count > MOST_VALUES or depth > MOST_DEPTH:
            return f"more than {MOST_VALUES:,} values, or aliases (*) that hold themselves"
        if isinstance(value, dict):
            waiting += [(key, depth + 1, place) for key in value]
            waiting += [(one, depth + 1, (place, key)) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(one, depth + 1, place) for one in value]
        elif (reason := _no_value(value)) is not None:
            return f"{_in_words(place)}{reason}"
    return None


def _in_words(place: Any) -> str:
    keys: list[str] = []
    while place is not None:
        place, key = place
        keys.insert(0, one_line(key)[:60])
    return f"{'.'.join(keys)}: " if keys else ""


def _no_value(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if len(value) > MOST_CHARACTERS:
            return f"a text of {len(value):,} characters, expected at most {MOST_CHARACTERS:,}"
        return None if visible(value) == value else f"{visible(value)[:80]!r}: a control character is in it"
    if isinstance(value, int):
        return None if abs(value) < 10**MOST_DIGITS else f"a number of more than {MOST_DIGITS} digits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value}: expected a finite number"
    return (
        f"{one_line(value)[:60]}: expected text, a number, true, false, a list or a section, found a value of "
        f"YAML's kind {type(value).__name__}; put text in quotes"
    )


def _in_a_line(error: yaml.YAMLError) -> str:
    """PyYAML's message and place, without the lines that it quotes."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = ": ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return one_line(where + (said or " ".join(str(error).split())))[:400]
