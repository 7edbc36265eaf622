"""Hugging Face datasets on disk: parquet, arrow (``save_to_disk``), and ``audiofolder`` with its metadata file.

Scripts that come with a data set are never run, and nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.core.extras import how_to_install, is_installed
from diminuendo.importing.columns import columns_of, told_columns
from diminuendo.importing.hf_files import METADATA, files_of
from diminuendo.importing.paths import Places
from diminuendo.importing.rows import utterance_of
from diminuendo.importing.split_names import required_split
from diminuendo.importing.table import read_table
from diminuendo.importing.utterance import Found, Request, Sound, Unusable

_ROWS = 64  # read at a time: each may hold a minute of audio


def read_huggingface(folder: Path, request: Request) -> Found:
    """The utterances of a data set's folder: a clone from the hub, or what ``datasets`` has saved.

    Raises:
        UserError: no file that can be read, several configurations, or no column known to hold audio or text.
    """
    for split, path in files_of(folder, request):
        try:
            own = None if split is None else required_split(split, request.splits)
        except Unusable as error:
            request.note(f"{path}: left out: {error.reason}")
            continue
        if path.name in METADATA and path.suffix == ".csv":
            yield from read_table(path, request, own, inside=True)
        elif path.suffix == ".jsonl":
            yield from _rows_of(path, own, request, *_json_lines(path))
        else:
            yield from _rows_of(path, own, request, *(_parquet(path) if path.suffix == ".parquet" else _arrow(path)))


def _rows_of(
    path: Path, split: str | None, request: Request, columns: list[str], features: Mapping[str, Any], rows: Iterator
) -> Found:
    """Args: features: what ``datasets`` says of the columns; rows: (number from 1, row) or Unusable."""
    request = _with_audio(columns, features, request)
    roles = columns_of(columns, request, str(path))
    request.note(told_columns(columns, roles))
    names = {column: said["names"] for column, said in features.items() if _is_labels(said)}
    places = Places([path.parent], request.root, absolute=False)
    for found in rows:
        if isinstance(found, Unusable):
            yield found
            continue
        number, row = found
        for column, labels in names.items():
            value = row.get(column)
            row[column] = labels[value] if isinstance(value, int) and 0 <= value < len(labels) else None
        audio, place = row.get(roles["audio"]), f"{path}:{number}"
        try:
            sound = _embedded(audio)
        except Unusable as error:
            yield error.at(place)
            continue
        if isinstance(audio, dict):
            row[roles["audio"]] = audio.get("path")
        yield utterance_of(row, roles, places, place, split, request, sound)


def _with_audio(columns: Iterable[str], features: Mapping[str, Any], request: Request) -> Request:
    """The same request, with the column that ``datasets`` itself calls audio, if none is chosen."""
    of_audio = [
        name for name in columns if isinstance(said := features.get(name), dict) and said.get("_type") == "Audio"
    ]
    if "audio" not in request.columns and len(of_audio) == 1:
        chosen = {**request.columns, "audio": of_audio[0]}
        return replace(request, columns=chosen)  # the notes are the same list
    return request


def _is_labels(said: Any) -> bool:
    return isinstance(said, dict) and said.get("_type") == "ClassLabel" and isinstance(said.get("names"), list)


def _embedded(audio: Any) -> Sound | None:
    """The sound that a cell holds; None where it names a file.

    Raises:
        Unusable: the cell holds neither.
    """
    if isinstance(audio, bytes):
        return _given(lambda: audio)
    if isinstance(audio, dict):
        if audio.get("bytes"):
            content = audio["bytes"]
            return _given(lambda: content)
        if audio.get("array") is not None and audio.get("sampling_rate"):
            samples, rate = np.asarray(audio["array"], dtype=np.float32), int(audio["sampling_rate"])
            return _given(lambda: (samples, rate))
        if not isinstance(audio.get("path"), str):
            raise Unusable("neither bytes nor a path in the column of the audio")
        return None
    if audio is not None and not isinstance(audio, str):
        raise Unusable("the column of the audio holds no audio", type(audio).__name__)
    return None


def _given(read: Callable[[], Any]) -> Sound:
    return Sound(read=read)


def _features(schema: Any) -> dict[str, Any]:
    try:
        return json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"] or {}
    except (KeyError, ValueError, TypeError):
        return {}


def _parquet(path: Path) -> tuple[list[str], dict[str, Any], Iterator]:
    _check_pyarrow(path)
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise UserError(f"{path}: not a parquet file ({_first_line(error)})") from None
    return file.schema_arrow.names, _features(file.schema_arrow), _batched(path, file.iter_batches(batch_size=_ROWS))


def _arrow(path: Path) -> tuple[list[str], dict[str, Any], Iterator]:
    _check_pyarrow(path)
    from pyarrow import ArrowException, ipc, memory_map

    try:
        stream = ipc.open_stream(memory_map(str(path)))
    except (ArrowException, OSError) as error:
        raise UserError(f"{path}: not an arrow file as `datasets` writes them ({_first_line(error)})") from None
    pieces = (batch.slice(at, _ROWS) for batch in stream for at in range(0, batch.num_rows, _ROWS))
    return stream.schema.names, _features(stream.schema), _batched(path, pieces)


def _check_pyarrow(path: Path) -> None:
    if not is_installed("pyarrow"):
        raise UserError(f"{path}: pyarrow, which reads it, is not installed; {how_to_install('import')}")


def _batched(path: Path, batches: Iterable[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    from pyarrow import ArrowException

    number = 0
    try:
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged after row {number} ({_first_line(error)})") from None


def _json_lines(path: Path) -> tuple[list[str], dict[str, Any], Iterator]:
    lines: list[tuple[int, dict[str, Any]] | Unusable] = []
    columns: dict[str, None] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            columns |= dict.fromkeys(row)
            lines.append((number, row))
        else:
            lines.append(Unusable("a line that is not a JSON object in UTF-8", ascii(raw[:60]), f"{path}:{number}"))
    return list(columns), {}, iter(lines)


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(".")
