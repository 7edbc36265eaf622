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
_HOW = ", or name its encoding: --encoding gb18030 (which reads GBK), big5, cp1252, shift_jis, …"


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
    head, rows, cause = _rows(file, _text(file, request.encoding, "" if inside else _HOW), request.header)
    roles = columns_of(head, request, str(file))
    request.note(f"{file.name}: {told_columns(head, roles)}")
    places = Places([file.parent, *(file.parent / name for name in BESIDE)], request.root, absolute=not inside)
    for line, cells in rows:
        place = f"{file}:{line}"
        if len(cells) not in (len(head), len(head) - 1):  # an empty last cell may be left away
            which, why = ("more", cause) if len(cells) > len(head) else ("fewer", "")
            yield Unusable(f"a line of {which} than {len(head)} columns{why}", f"{len(cells)} columns", place)
            continue
        yield utterance_of(dict(zip(head, cells)), roles, places, place, split, request)


def _text(file: Path, encoding: str | None, how: str) -> str:
    """The content of a table.

    Args:
        encoding: a name of Python's; None: UTF-8.
        how: what else can be done about another encoding, for the error.
    """
    check_plain(file)
    try:
        content = file.read_bytes()
        return content.decode(encoding or "utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"{file}:{line}: the byte 0x{content[error.start]:02x} is not {encoding or 'UTF-8'} text"
        also = how if encoding is None else ", or give another --encoding"
        raise UserError(f"{what}; save the file as UTF-8{also}") from None


def _rows(file: Path, text: str, header: bool) -> tuple[list[str], Iterator[tuple[int, list[str]]], str]:
    """The names of the columns (their numbers from 1 where there is no header), and line and cells of each row.

    The third: why a row may have too many cells, as the end of a reason.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise UserError(
            f"{file}: empty; expected a line with the names of the columns, and one for each utterance; write it "
            "anew, or give another file"
        )
    delimiter = delimiter_of(first)
    found = _parsed(file, text, delimiter)
    cause = _cause(delimiter, _has_quotes(text, delimiter))
    start, head = next(found)
    if header and any(set(name) & set("\r\n") for name in head):
        raise UserError(
            f"{file}:{start}: the name of a column goes over several lines, so a quote in it has no end; take the "
            "quote, or the line break, away"
        )
    if not header:
        names = [str(number) for number in range(1, len(head) + 1)]
        return names, _with_first((start, head), found), cause
    names = [name.strip() for name in head]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{file}: two columns are called {twice[0]!r}; rename one")
    return names, found, cause


def _has_quotes(text: str, delimiter: str) -> bool:
    """Whether quotes enclose cells.

    With tabs or bars they are characters of the text (Common Voice, LJ Speech), unless the header has them.
    """
    return delimiter in ",;" or text.startswith('"')


def _cause(delimiter: str, quoted: bool) -> str:
    name = "a tab" if delimiter == "\t" else repr(delimiter)
    if quoted:
        other = "" if delimiter == "\t" else ", or divide the columns by tabs"
        return f": a text with {name} in it needs double quotes around it{other}"
    return f": a text cannot have {name} in it, which divides the columns"


def delimiter_of(line: str) -> str:
    """The delimiter that divides a line into most cells; of equals, the first of ``DELIMITERS``."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([line], delimiter=delimiter), [])))


def _parsed(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    quoted = _has_quotes(text, delimiter)
    lines = list(io.StringIO(text, newline=""))
    rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)
    before = width = 0
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                own = lines[before : rows.line_num]
                width = width or (len(cells) if len(own) == 1 else own[0].count(delimiter) + 1)
                _check_lines(file, before, own, delimiter, width)
                yield before + 1, cells
            before = rows.line_num
    except csv.Error as error:
        fix = "; a quote that opens a cell must close it, and one inside of it is written twice" if quoted else ""
        raise UserError(f"{file}:{before + 1}: not a table with the delimiter {delimiter!r} ({error}){fix}") from None


def _check_lines(file: Path, before: int, lines: list[str], delimiter: str, width: int) -> None:
    """Refuse a row over several lines of which some look like rows: a stray quote has swallowed them.

    Args:
        before: lines of the file before these.
        width: cells of a row.
    Raises:
        UserError: a line between the first and the last has as many cells as a row, or both of these have.
    """
    whole = [line.count(delimiter) + 1 == width for line in lines]
    if len(lines) > 1 and (any(whole[1:-1]) or (whole[0] and whole[-1])):
        row = before + 1 + (whole.index(True, 1))
        raise UserError(
            f"{file}:{before + 1}: a quote opens here and closes on line {before + len(lines)}, and line {row} has "
            f"{width} cells as a row has; close the quote or take it away, or take the line break out of the "
            "cell if it is meant"
        )


def _with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
