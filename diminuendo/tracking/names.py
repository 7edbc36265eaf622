"""Names and texts that MLflow accepts. It refuses a whole batch for a single bad one."""

from __future__ import annotations

import hashlib
import re

KEY_LENGTH = 250  # characters, like the lengths below
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
_DIGEST = 8
_REFUSED = re.compile(r"[^/\w.\- :]")
_REFUSED_IN_MODELS = re.compile(r"""[/:.%"']""")


def metric_name(*parts: str) -> str:
    """``parts`` joined by ``/``, as a name that MLflow accepts for a metric, a parameter or a tag.

    A name that MLflow accepts is not changed. In others ``_`` replaces refused characters, and a few digits of the
    name's digest are added, so that two names never become one. A slash in one of several parts is replaced too.
    """
    if len(parts) > 1:
        parts = tuple(part.replace("/", "\0") for part in parts)
    name = "/".join(parts)
    segments = [_REFUSED.sub("_", segment) for segment in name.split("/")]
    taken = "/".join("_" if segment in ("", ".", "..") else segment for segment in segments)
    if taken.startswith(".."):
        taken = "_" + taken
    if taken == name and len(name) <= KEY_LENGTH:
        return name
    return _told_apart(taken, name)


def model_name(name: str) -> str:
    """``name`` as MLflow accepts it for a logged model: without dots, colons, slashes, quotes."""
    taken = _REFUSED_IN_MODELS.sub("_", name)
    return name if taken == name and name else _told_apart(taken, name)


def text(value: str, length: int) -> str:
    """``value`` in a form that every database stores, cut to ``length`` characters."""
    value = value.replace("\0", "␀").encode("utf-8", "replace").decode("utf-8")
    return value if len(value) <= length else value[: length - 1] + "…"


def _told_apart(taken: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{taken[: KEY_LENGTH - _DIGEST - 1]}-{digest}"
