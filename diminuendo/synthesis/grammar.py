"""A grammar as data: sentence patterns with slots, optional parts and choices, drawn at random or counted.

``{name}`` is one entry of the slot ``name``, ``[words]`` may be left out, ``(this|that)`` is a choice; they nest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diminuendo.core.errors import UserError

_TOKEN = re.compile(r"\{[^{}]*\}|[\[\]()|]|[^\s{}\[\]()|]+|[{}]")


@dataclass(frozen=True)
class Choice:
    """One of ``options``, all equally likely; an option is a sequence of words, slot references and choices."""

    options: tuple[tuple[str | SlotReference | Choice, ...], ...]


@dataclass(frozen=True)
class SlotReference:
    name: str


def read_yaml(path: Path) -> Any:
    """Parsed YAML.

    Raises:
        UserError: the file cannot be read or is not YAML.
    """
    try:
        with open(path, encoding="utf-8") as file:  # from a file: YAML's errors name it
            return yaml.safe_load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); data.path must be a folder with it") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error


class Grammar:
    """Patterns and slots, checked: every slot exists, and none contains itself."""

    def __init__(self, sentences: list[str], slots: dict[str, list[str]], source: str = "grammar"):
        self._source = source
        self._slots = {name: Choice(self._parse_all(f"slots.{name}", entries)) for name, entries in slots.items()}
        self._start = Choice(self._parse_all("sentences", sentences))
        for name in self._slots:
            self._refuse_cycle(name, ())
        self._check_references(self._start, "sentences")

    @classmethod
    def load(cls, path: Path) -> Grammar:
        """Read ``grammar.yaml``.

        Raises:
            UserError: what is wrong and in which pattern.
        """
        raw = read_yaml(path)
        if not isinstance(raw, dict) or set(raw) != {"sentences", "slots"} or not isinstance(raw["slots"], dict):
            raise UserError(
                f"{path}: expected the keys 'sentences' (a list) and 'slots' (lists by name), and no others"
            )
        return cls(raw["sentences"], raw["slots"], source=str(path))

    def draw(self, rng: np.random.Generator) -> str:
        """A random sentence."""
        return " ".join(self._draw(self._start, rng))

    def count(self) -> int:
        """Number of ways through the grammar; some may give the same sentence."""
        return self._count(self._start)

    def words(self) -> set[str]:
        """Distinct words in the patterns and slots."""
        found: set[str] = set()
        stack = [self._start, *self._slots.values()]
        while stack:
            for option in stack.pop().options:
                found |= {part for part in option if isinstance(part, str)}
                stack += [part for part in option if isinstance(part, Choice)]
        return found

    def _draw(self, choice: Choice, rng: np.random.Generator) -> list[str]:
        words: list[str] = []
        for part in choice.options[int(rng.integers(len(choice.options)))]:
            if isinstance(part, str):
                words.append(part)
            else:
                words += self._draw(self._slots[part.name] if isinstance(part, SlotReference) else part, rng)
        return words

    def _count(self, choice: Choice) -> int:
        total = 0
        for option in choice.options:
            ways = 1
            for part in option:
                if not isinstance(part, str):
                    ways *= self._count(self._slots[part.name] if isinstance(part, SlotReference) else part)
            total += ways
        return total

    def _parse_all(self, where: str, patterns: Any) -> tuple:
        if (
            not isinstance(patterns, list)
            or not patterns
            or not all(isinstance(p, str) and p.strip() for p in patterns)
        ):
            raise UserError(
                f"{self._source}: {where}: expected a list of patterns as text, found {patterns!r} "
                "(YAML reads bare on, off, yes, no and numbers as something else: quote them)"
            )
        return tuple(self._parse(where, pattern) for pattern in patterns)

    def _parse(self, where: str, pattern: str) -> tuple:
        tokens = _TOKEN.findall(pattern)
        position = 0

        def sequence(end: str | None) -> Choice:
            nonlocal position
            options: list[list] = [[]]
            while position < len(tokens):
                token = tokens[position]
                position += 1
                if token == end:
                    return Choice(tuple(map(tuple, options)))
                if token == "[":
                    optional = sequence("]")
                    options[-1].append(Choice((*optional.options, *[()] * len(optional.options))))
                elif token == "(":
                    options[-1].append(sequence(")"))
                elif token == "|" and end:
                    options.append([])
                elif token in "])|{}":
                    raise UserError(f"{self._source}: {where}: {token!r} has no counterpart in {pattern!r}")
                elif token[0] == "{":
                    options[-1].append(SlotReference(token[1:-1].strip()))
                else:
                    options[-1].append(token)
            if end:
                raise UserError(f"{self._source}: {where}: {end!r} is missing in {pattern!r}")
            return Choice(tuple(map(tuple, options)))

        return sequence(None).options[0]

    def _references(self, choice: Choice) -> set[str]:
        found = set()
        for option in choice.options:
            for part in option:
                if isinstance(part, SlotReference):
                    found.add(part.name)
                elif isinstance(part, Choice):
                    found |= self._references(part)
        return found

    def _check_references(self, choice: Choice, where: str) -> None:
        for name in sorted(self._references(choice)):
            if name not in self._slots:
                raise UserError(
                    f"{self._source}: {where}: no slot is called {name!r}; there are: {', '.join(self._slots)}"
                )

    def _refuse_cycle(self, name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise UserError(f"{self._source}: the slot {name!r} needs itself: {' → '.join([*path, name])}")
        self._check_references(self._slots[name], f"slots.{name}")
        for inner in sorted(self._references(self._slots[name])):
            self._refuse_cycle(inner, (*path, name))
