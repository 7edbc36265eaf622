"""All problems in the user's data, reported at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text

SHOWN = 50  # problems in the message; the file named there has all of them


@dataclass(frozen=True, order=True)
class Problem:
    """One problem in one line; line 0 means the whole file. Problems are counted by ``kind``."""

    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class Problems:
    """Collects problems; ``stop`` ends the stage if there are any."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, file: str | Path, line: int, kind: str, message: str) -> None:
        self._found[Problem(str(file), line, kind, message)] = None

    def all(self) -> tuple[Problem, ...]:
        """In the order of files and lines."""
        return tuple(sorted(self._found))

    def stop(self, report: Path) -> None:
        """Raise UserError with the first problems and how many there are of each kind; write all to ``report``."""
        if not self._found:
            report.unlink(missing_ok=True)  # the report of an earlier run is out of date
            return
        found = list(self._found)
        lines = [str(problem) for problem in found]
        counts = ", ".join(f"{n} × {kind}" for kind, n in Counter(p.kind for p in found).most_common())
        message = f"{len(lines)} problem(s) in the data: {counts}\n" + "\n".join(f"  {line}" for line in lines[:SHOWN])
        if len(lines) > SHOWN:
            message += f"\n  … and {len(lines) - SHOWN} more"
        write_text(report, "\n".join(lines) + "\n")
        raise UserError(
            f"{message}\n  The whole list is in {report}. Correct or remove these lines; nothing was written."
        )
