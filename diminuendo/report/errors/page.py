"""The page as one HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from diminuendo.report.rows import Report

TEMPLATE = "page.html.j2"
STYLE = "page.css"
SCRIPTS = ("counting.js", "drawing.js", "player.js", "page.js")  # one program, in this order

# What could end a script element or begin a comment in it, and the two line ends that JavaScript has besides its own.
_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def errors_page(report: Report, content: Mapping[str, Any], audio: Mapping[int, str], told: list[str]) -> str:
    """The page.

    Every text of a corpus or a family is data: JSON in a script element that no browser runs, shown as text.

    Args:
        content: see ``errors.content``.
        audio: index of an utterance to a FLAC file in base64.
        told: what is left out, in sentences.
    """
    environment = Environment(
        loader=PackageLoader("diminuendo.report.errors", "."), autoescape=True, undefined=StrictUndefined
    )
    style = _source(STYLE)
    script = "".join(('"use strict";\n', *map(_source, SCRIPTS)))
    return environment.get_template(TEMPLATE).render(
        report=report,
        unit=report.unit.name.removesuffix("s"),
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        data=json_in_script(content),
        audio=audio,
        told=told,
    )


def json_in_script(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever texts are in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_ESCAPED))


def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """For the page's content security policy: nothing else runs, wherever it came from."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
