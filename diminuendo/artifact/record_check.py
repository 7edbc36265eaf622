"""The lineage that a file states, checked before anything walks through it.

It may come from anybody: names become parts of messages and pages, stages and modules become places in a tree of
sources, digests are compared, and whatever is counted is divided by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from diminuendo.core.plain_text import one_line

MOST_ANCESTORS = 200
MOST_PARENTS = 20
MOST_CORPORA = 200
MOST_DEPTH = 20  # of values within values
MOST_VALUES = 200_000
MOST_CHARACTERS = 4000  # of a text

_DIGEST = re.compile(r"[\w:.+-]{1,128}", re.ASCII)
_STAGE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_MODULE = re.compile(r"\w{1,100}(\.\w{1,100}){0,20}", re.ASCII)
_KIND = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)

Check = Callable[[Any, str], None]


def check_record(record: Any) -> dict[str, Any]:
    """The record, if it is one that ``artifact.lineage`` could have written.

    Raises:
        ValueError: it is not; the message names the key.
    """
    _check_size(record)
    _mapping(record, "lineage")
    for key in (*_OWN, "ancestors", "corpora"):
        if key not in record:
            raise ValueError(f"lineage has no {key!r}")
    check_parts(record)
    for digest, own in record["ancestors"].items():
        for key in _OWN:
            if key not in own:
                raise ValueError(f"lineage.ancestors.{digest[:12]} has no {key!r}")
    return record


def check_parts(record: Any) -> dict[str, Any]:
    """The same for a record of which anything may be missing, as in a file that another program wrote.

    Raises:
        ValueError: what is there is not as it should be.
    """
    _check_size(record)
    _check_own(record, "lineage")
    _by_digest(record.get("ancestors", {}), "lineage.ancestors", MOST_ANCESTORS, _check_own)
    _by_digest(record.get("corpora", {}), "lineage.corpora", MOST_CORPORA, _check_corpus)
    return record


def _check_own(record: Any, path: str) -> None:
    for key, value in _mapping(record, path).items():
        if key in _CHECKS:
            _CHECKS[key](value, f"{path}.{key}")


def _check_corpus(facts: Any, path: str) -> None:
    for key, value in _mapping(facts, path).items():
        if key in _CORPUS:
            _CORPUS[key](value, f"{path}.{key}")


def _check_size(value: Any) -> None:
    """Depth, number and length of all values, whatever they are; walked without recursion."""
    waiting, count = [(value, 0)], 0
    while waiting:
        one, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES or depth > MOST_DEPTH:
            raise ValueError(f"lineage has more than {MOST_VALUES:,} values, or {MOST_DEPTH} of them within each other")
        if isinstance(one, dict):
            waiting += [(inner, depth + 1) for pair in one.items() for inner in pair]
        elif isinstance(one, list):
            waiting += [(inner, depth + 1) for inner in one]
        elif isinstance(one, str):
            if len(one) > MOST_CHARACTERS or one_line(one) != one:
                raise ValueError(f"lineage holds a text that is too long, or has control characters: {_shown(one)}")
        elif isinstance(one, int) and abs(one) >= 10**30:
            raise ValueError("lineage holds a number of more than 30 digits")


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path} is {_shown(value)}, expected names and their values")
    return value


def _text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{path} is {_shown(value)}, expected text")


def _matching(pattern: re.Pattern[str], expected: str) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{path} is {_shown(value)}, expected {expected}")

    return check


_digest = _matching(_DIGEST, "a digest")
_stage = _matching(_STAGE, "the name of a stage")
_module = _matching(_MODULE, "the name of a module")
_kind = _matching(_KIND, "a kind of model")


def _name(value: Any, path: str) -> None:
    _text(value, path)
    if not 0 < len(value) <= 200:
        raise ValueError(f"{path} is {_shown(value)}, expected up to 200 letters")


def _parents(value: Any, path: str) -> None:
    if len(_mapping(value, path)) > MOST_PARENTS:
        raise ValueError(f"{path} names {len(value)} models, expected at most {MOST_PARENTS}")
    for name, digest in value.items():
        _name(name, path)
        _digest(digest, f"{path}.{name[:40]}")


def _by_digest(value: Any, path: str, most: int, check: Check) -> None:
    if len(_mapping(value, path)) > most:
        raise ValueError(f"{path} has {len(value):,} of them, expected at most {most}")
    for digest, own in value.items():
        _digest(digest, path)
        check(own, f"{path}.{digest[:12]}")


def _parameters(value: Any, path: str) -> None:
    for key in ("training", "losses", "frontend"):
        if key in _mapping(value, path) and value[key] is not None:
            _mapping(value[key], f"{path}.{key}")
    if value.get("from") is not None:
        _name(value["from"], f"{path}.from")


def _without(value: Any, path: str) -> None:
    for package, names in _mapping(value, path).items():
        _module(package, path)
        _list_of(_module)(names, f"{path}.{package}")


def _list_of(check: Check) -> Check:
    def check_all(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise ValueError(f"{path} is {_shown(value)}, expected a list")
        for one in value:
            check(one, path)

    return check_all


def _pretrained(value: Any, path: str) -> None:
    for key in ("source", "licence", "files"):
        if key not in _mapping(value, path):
            raise ValueError(f"{path} has no {key!r}")
    for key in ("source", "licence", *(["revision"] if "revision" in value else [])):
        _text(value[key], f"{path}.{key}")
    for name, digest in _mapping(value["files"], f"{path}.files").items():
        _name(name, f"{path}.files")
        _digest(digest, f"{path}.files")


def _count(value: Any, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise ValueError(f"{path} is {_shown(value)}, expected a number from 0")


def _speakers(value: Any, path: str) -> None:
    if value is not None:
        _count(value, path)


def _splits(value: Any, path: str) -> None:
    expected: Mapping[str, Check] = {"utterances": _count, "seconds": _count, "words": _count, "speakers": _speakers}
    for split, facts in _mapping(value, path).items():
        for key, check in expected.items():
            if key in _mapping(facts, f"{path}.{split}"):
                check(facts[key], f"{path}.{split}.{key}")
            elif key != "words":
                raise ValueError(f"{path}.{split} has no {key!r}")


_OWN = ("stage", "name", "parameters", "code", "corpus", "parents")
_CHECKS: dict[str, Check] = {
    "stage": _stage,
    "name": _name,
    "parameters": _parameters,
    "code": _digest,
    "corpus": _digest,
    "parents": _parents,
    "training": _digest,
    "without": _without,
    "kinds": _list_of(_kind),
    "pretrained": _pretrained,
}
_CORPUS: dict[str, Check] = {
    "source": _text,
    "sample_rate": _count,
    "parameters": lambda value, path: None if value is None else _mapping(value, path) and None,
    "splits": _splits,
    "raw": _digest,
}


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
