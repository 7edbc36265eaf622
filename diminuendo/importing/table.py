"""Tables: csv, tsv, and anything else with a line for each utterance and a column for each fact."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.importing.columns import columns_of, told_columns
from diminuendo.importing.paths import Places, check_plain
from diminuendo.importing.rows import utterance_of
from diminuendo.importing.split_names import NONE, split_named
from diminuendo.importing.utterance import Found, Request, Unusable

DELIMITERS = "\t;,|"
BESIDE = ("clips", "wavs", "wav", "audio")  # folders beside a table in which data sets keep what it names
_LONGEST_FIELD = 1 << 24


def read_tables(files: Sequence[Path], request: Request) -> Found:
    """The utterances of one or more tables; of several, the name of each (``train.tsv``) says its split.

    Raises:
        UserError: a file cannot be read, or has no column that is known to hold audio or text.
    """
    for file in files:
        split = split_named(file.stem, request.splits) if len(files) > 1 else None
        if len(files) > 1 and split in (None, NONE):
            request.note(
                f"{file}: left out, its name is none of train, dev and test; --split {file.stem}=train takes it"
            )
            continue
        yield from read_table(file, request, split)


def read_table(file: Path, request: Request, split: str | None = None, inside: bool = False) -> Found:
    """The utterances of one table.

    Args:
        split: of all of them.
        inside: whether the table may only name files in its own folder.
    """
    head, rows = _rows(file, request.header)
    roles = columns_of(head, request, str(file))
    request.note(f"{file.name}: {told_columns(head, roles)}")
    places = Places([file.parent, *(file.parent / name for name in BESIDE)], request.root, absolute=not inside)
    for line, cells in rows:
        place = f"{file}:{line}"
        if len(cells) not in (len(head), len(head) - 1):  # an empty last cell may be left away
            yield Unusable(f"a line of other than {len(head)} columns", f"{len(cells)} columns", place)
            continue
        yield utterance_of(dict(zip(head, cells)), roles, places, place, split, request)


def _rows(file: Path, header: bool) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns (their numbers from 1 where there is no header), and line and cells of each row."""
    check_plain(file)
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{file}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise UserError(
            f"{file}: empty; expected a line with the names of the columns, and one for each utterance; write it "
            "anew, or give another file"
        )
    found = _parsed(file, text, delimiter_of(first))
    start, head = next(found)
    if not header:
        names = [str(number) for number in range(1, len(head) + 1)]
        return names, _with_first((start, head), found)
    names = [name.strip() for name in head]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{file}: two columns are called {twice[0]!r}; rename one")
    return names, found


def delimiter_of(line: str) -> str:
    """The delimiter that divides a line into most cells; of equals, the first of ``DELIMITERS``."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([line], delimiter=delimiter), [])))


def _parsed(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    # With tabs or bars quotes are characters of the text (Common Voice, LJ Speech), unless the header has them.
    quoted = delimiter in ",;" or text.startswith('"')
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    before = 0
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                yield before + 1, cells
            before = rows.line_num
    except csv.Error as error:
        raise UserError(f"{file}:{before + 1}: not a table with the delimiter {delimiter!r} ({error})") from None


def _with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
