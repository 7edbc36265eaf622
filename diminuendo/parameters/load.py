"""Read ``params.yaml`` and say everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import io
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.core.errors import UserError
from diminuendo.parameters.schema import Params

# Keys of earlier versions, and what they are called now.
RENAMED = {"aware": "quantization_aware", "draws": "augmentation_copies"}
# Keys that stand in another section now, and what their values are called there.
MOVED = {"gate.unit": ("evaluate.measure", {"auto": "auto", "words": "wer", "characters": "cer"})}


class _UniqueKeyLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):
    """YAML keeps the last of two equal keys without a word; a user would never know which one ran."""


def _mapping_without_duplicates(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=deep) for key, _ in node.value]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is there twice", node.value[index][0].start_mark
            )
    return loader.construct_mapping(node, deep=deep)


_UniqueKeyLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: _mapping_without_duplicates(loader, node, deep=True),
)


Further = Callable[[dict[str, Any]], Iterable[str]]


def load_params(path: str | Path = "params.yaml", further: Further | None = None) -> Params:
    """The validated parameters.

    Args:
        further: what else is wrong with the content of the file, to be said where the parameters are not valid.
    Raises:
        UserError: the file is missing, is not YAML, or holds keys or values that are not allowed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise UserError(
            f"{path}: a folder, expected a parameter file such as params.yaml; data are named in one, by data.path"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); run from the repository's root") from error
    try:
        text = io.StringIO(content.decode("utf-8"))
        text.name = str(path)  # YAML's errors say it
        raw = yaml.load(text, Loader=_UniqueKeyLoader)  # a subclass of the safe loader
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line}: the byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    return parse_params(raw, source=str(path), further=further)


def parse_params(raw: Any, source: str = "params", further: Further | None = None) -> Params:
    """Validate a nested mapping; ``source`` names it in the error."""
    if not isinstance(raw, dict):
        found = "nothing; begin with a copy of params.yaml" if raw is None else type(raw).__name__
        raise UserError(f"{source}: expected sections such as 'data' and 'teacher', found {found}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        said = [line for problem in error.errors() for line in _explain(problem).split("\n")]
        lines = [f"  {line}" for line in (*said, *(further(raw) if further else ()))]
        raise UserError(f"{source}: {len(lines)} problem(s), nothing was run:\n" + "\n".join(lines)) from None


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
    none = " (for no member write {})" if path in FAMILY_SECTIONS else ""
    return f"{path}: {message[0].lower()}{message[1:]}, found {found!r}{none}"


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
