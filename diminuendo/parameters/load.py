"""Read ``params.yaml`` and say everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import io
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

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
        raise UserError(f"{source}: expected sections such as 'data' and 'teacher', found {type(raw).__name__}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        said = [line for problem in error.errors() for line in _explain(problem).split("\n")]
        lines = [f"  {line}" for line in (*said, *(further(raw) if further else ()))]
        raise UserError(f"{source}: {len(lines)} problem(s), nothing was run:\n" + "\n".join(lines)) from None


def _explain(problem: dict) -> str:
    path = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
    found = problem.get("input")
    if problem["type"] == "extra_forbidden":
        if path in MOVED:
            place, values = MOVED[path]
            section, _, key = place.rpartition(".")
            value = values.get(found) if isinstance(found, str) else None
            write = f"{key}: {value}" if value else f"{key}: {' or '.join(values.values())}"
            return f"{path}: this key is {place} now, for report and gate alike; write {write} in the section {section}"
        allowed = _keys_at(problem["loc"][:-1])
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


def _keys_at(location: tuple) -> list[str]:
    """The keys that the section at this location may have."""
    annotation: Any = Params
    for part in location:
        if typing.get_origin(annotation) is dict:  # the part is a member's name
            annotation = typing.get_args(annotation)[1]
            continue
        fields = _section_in(annotation).model_fields
        annotation = next(field.annotation for name, field in fields.items() if part in (name, field.alias))
    return [field.alias or name for name, field in _section_in(annotation).model_fields.items()]


def _section_in(annotation: Any) -> type[BaseModel]:
    """The section type itself, or the one inside ``Section | None``."""
    candidates = [annotation, *typing.get_args(annotation)]
    return next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
