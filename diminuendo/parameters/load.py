"""Read ``params.yaml`` and say everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.parameters.crosschecks import disagreements
from diminuendo.parameters.limits import beyond_limits
from diminuendo.parameters.schema import Params
from diminuendo.parameters.yaml_text import read_yaml

# Keys of earlier versions, and what they are called now.
RENAMED = {"aware": "quantization_aware", "draws": "augmentation_copies"}
# Keys that stand in another section now, and what their values are called there.
MOVED = {"gate.unit": ("evaluate.measure", {"auto": "auto", "words": "wer", "characters": "cer"})}


Further = Callable[[dict[str, Any]], Iterable[str]]


def load_params(path: str | Path = "params.yaml", further: Further | None = None) -> Params:
    """The validated parameters.

    Args:
        further: what else is wrong with the content of the file, to be said where the parameters are not valid.
    Raises:
        UserError: the file is missing, is not YAML, or holds keys or values that are not allowed.
    """
    path = Path(path)
    return parse_params(read_yaml(path), source=str(path), further=further)


def parse_params(raw: Any, source: str = "params", further: Further | None = None) -> Params:
    """Validate a nested mapping; ``source`` names it in the error."""
    if not isinstance(raw, dict):
        found = "nothing; begin with a copy of params.yaml" if raw is None else type(raw).__name__
        raise UserError(f"{source}: expected sections such as 'data' and 'teacher', found {found}")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        said = [line for problem in error.errors() for line in _explain(problem).split("\n")]
        lines = [f"  {line}" for line in (*said, *(further(raw) if further else ()))]
        raise UserError(f"{source}: {len(lines)} problem(s), nothing was run:\n" + "\n".join(lines)) from None
    if problems := [*truths_for_numbers(raw), *beyond_limits(params)] or disagreements(params):
        lines = [f"  {line}" for line in (*problems, *(further(raw) if further else ()))]
        raise UserError(f"{source}: {len(lines)} problem(s), nothing was run:\n" + "\n".join(lines))
    return params


def _explain(problem: dict) -> str:
    path = ".".join(_place(problem["loc"])[0]) or "(whole file)"
    found = problem.get("input")
    if problem["type"] == "extra_forbidden":
        if path in MOVED:
            place, values = MOVED[path]
            section, _, key = place.rpartition(".")
            value = values.get(found) if isinstance(found, str) else None
            write = f"{key}: {value}" if value else f"{key}: {' or '.join(values.values())}"
            return f"{path}: this key is {place} now, for report and gate alike; write {write} in the section {section}"
        section = next(section for _, section in _sections_in(_place(problem["loc"][:-1])[1]))
        allowed = list(_keys_of(section))
        if (new := RENAMED.get(problem["loc"][-1])) in allowed:
            return f"{path}: this key is called {new!r} now; write {new}: {found!r}"
        near = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{path}: unknown key{hint}; allowed: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"{path}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message if path == "(whole file)" else f"{path}: {message}"
    if problem["type"] in ("tuple_type", "list_type"):  # Python's words for a list of YAML
        one = f", such as [{found}]" if isinstance(found, str | int | float) and not isinstance(found, bool) else ""
        message = f"expected a list{one}"
    none = " (for no member write {})" if path in FAMILY_SECTIONS else ""
    return f"{path}: {message[0].lower()}{message[1:]}, found {shortened(found)}{none}"


def shortened(value: Any) -> str:
    text = one_line(repr(value))
    return text if len(text) <= 120 else f"{text[:117]}…"


def truths_for_numbers(raw: Any) -> list[str]:
    """Where true or false stands in the place of a number, for which pydantic would take it to be 1 or 0."""
    return [f"{path}: expected a number, found {str(value).lower()}" for path, value in _truths(raw, Params, "")]


def _truths(value: Any, annotation: Any, path: str) -> Iterator[tuple[str, bool]]:
    sections = [section for _, section in _sections_in(annotation)]
    if isinstance(value, dict) and sections and typing.get_origin(annotation) is not dict:
        fields = {key: field.annotation for section in sections for key, field in _keys_of(section).items()}
        for key, one in value.items():
            if key in fields:
                yield from _truths(one, fields[key], f"{path}.{key}".lstrip("."))
    elif isinstance(value, dict):
        inner = typing.get_args(annotation)
        for key, one in value.items():
            yield from _truths(one, inner[1] if len(inner) == 2 else None, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from _truths(one, annotation, path)
    elif isinstance(value, bool) and (kinds := set(_plain_kinds(annotation))) & {int, float} and bool not in kinds:
        yield path, value


def _plain_kinds(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _plain_kinds(inner)


def _place(location: Sequence[int | str]) -> tuple[list[str], Any]:
    """A location as a user writes it, and the type of what stands there; None: it is not known.

    Of a section that may be of several kinds, pydantic names the kind as well, which is no key.
    """
    path, annotation = [], Params
    for part in location:
        sections = dict(_sections_in(annotation))
        if part in sections:  # a kind
            annotation = sections[part]
            continue
        path.append(str(part))
        if typing.get_origin(annotation) is dict:  # the part is a member's name
            annotation = typing.get_args(annotation)[1]
            continue
        fields = {name: field for section in sections.values() for name, field in _keys_of(section).items()}
        annotation = fields[part].annotation if part in fields else None
    return path, annotation


def _sections_in(annotation: Any) -> Iterator[tuple[str | None, type[BaseModel]]]:
    """The section type itself, or those inside of ``Section | None`` or a union by kinds, each with its kind."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield None, annotation
    elif typing.get_origin(annotation) is typing.Annotated:
        inner, *notes = typing.get_args(annotation)
        kind = next((note.tag for note in notes if isinstance(note, Tag)), None)
        yield from ((kind or own, section) for own, section in _sections_in(inner))
    else:
        for inner in typing.get_args(annotation):
            yield from _sections_in(inner)


def _keys_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}
