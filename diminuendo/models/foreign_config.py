"""What the files that describe a foreign checkpoint say, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from diminuendo.core.errors import UserError

# Beyond any model's: a file that says more is damaged, and memory would end before its model is built.
MOST, MOST_LAYERS = 1 << 20, 1024
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"


class Files(Protocol):
    """A checkpoint's folder, as far as a family reads more of it than configuration and weights."""

    path: Path

    def json_of(self, name: str) -> dict[str, Any]: ...

    def bytes_of(self, name: str) -> bytes: ...


class Keys:
    """The keys of one file, each of the type that is expected of it; ``UserError`` names file, key and value."""

    def __init__(self, values: Mapping[str, Any], file: str):
        self._values, self._file = values, file

    def get(self, name: str, kind: type | tuple[type, ...], default: Any, expected: str) -> Any:
        value = self._values.get(name, default)
        # True is an int to Python, and no size.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(name, f"expected {expected}")
        return value

    def size(self, name: str, default: int | None = None, most: int = MOST) -> int:
        """None: the file must say it."""
        value = self.get(name, int, default, "a positive whole number")
        if value > most:
            self.refuse(name, f"expected {most} at most")
        return value if value > 0 else self.refuse(name, "expected a positive whole number")

    def number(self, name: str, default: float) -> float:
        value = self.get(name, (int, float), default, "a number")
        return float(value) if abs(value) <= MOST else self.refuse(name, f"expected {MOST} at most")

    def fraction(self, name: str, default: float) -> float:
        value = self.number(name, default)
        return value if 0 <= value <= 1 else self.refuse(name, "expected a number from 0 to 1")

    def flag(self, name: str, default: bool) -> bool:
        return self.get(name, bool, default, "true or false")

    def sizes(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        found = self.get(name, (list, tuple), default, "a list of positive whole numbers")
        if not found or any(type(value) is not int or value < 1 for value in found):
            self.refuse(name, "expected a list of positive whole numbers")
        if max(found) > MOST:
            self.refuse(name, f"expected {MOST} at most")
        return tuple(found)

    def check(self, supported: Mapping[str, tuple[Any, ...]]) -> None:
        """Refuse values that make another function than is built here; of each key the first one is its default."""
        for name, values in supported.items():
            if self._values.get(name, values[0]) not in values:
                self.refuse(name, f"and only {' or '.join(map(repr, values))} is supported")

    def refuse(self, name: str, why: str) -> Any:
        found = repr(self._values[name]) if name in self._values else "nothing"
        raise UserError(f"{self._file}: {name}: found {found:.60}, {why}; take another checkpoint, or repair this file")
