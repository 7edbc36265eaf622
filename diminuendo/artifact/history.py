"""What stands beside a model of how it was made: the curves of its training, and the figures of its technique."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from diminuendo.core.files import write_text

HISTORY = "history.csv"
TRAINING = "training.json"  # figures of the training alone, without those of the writing
SUMMARY = "summary.json"


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """The curves as CSV, one column per quantity; empty where it was not measured."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()} for row in history
    )
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a stored history, to six digits; written again they give the same bytes."""
    with open(path, encoding="utf-8", newline="") as file:
        return [{key: _number(text) for key, text in row.items() if text} for row in csv.DictReader(file)]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
