"""Text from outside made harmless where it is shown: on a terminal, in Markdown, and without passwords.

Names of files, metadata of a model, manifests and error messages of servers may hold anything. On a terminal a control
sequence would colour, hide or overwrite what a command says; in Markdown a tag would become part of a page; an address
may hold a password.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from diminuendo.core.errors import UserError

_KEPT = "\n\t"
# Marks that turn the direction of what follows, or end a line: U+061C, U+200E, U+200F are letters' own and stay.
_TURNING = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = "\u200c\u200d"  # which Persian and Indic names need
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
HIDDEN = "…"
_KEYS = "pass|passwd|password|pwd|token|secret|key|credential|signature|sig|auth"
_AT = re.compile("[\uff20\ufe6b]")  # other forms of @, which some programs take for it
# What stands between // and the last @ in front of the host. A password may itself hold @ and, after a colon that no
# number of a port follows, anything but a space.
_USER = re.compile(
    r"(?<=//)(?:[^\s/?#'\"<>]*|[^\s/:@'\"<>]+:(?!\d+(?:[/?#\s]|$))[^\s'\"<>]*)(?=[@\uff20\ufe6b])(?<!/)", re.IGNORECASE
)
_ONE_SLASH = re.compile(r"(?<=\w:/)[^\s/@:]+:[^\s/@]+(?=[@\uff20\ufe6b])")  # of an address that was taken for a path
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_NAMED = "password|passwd|pwd|secret|(?:access|account|api|auth)[_-]?(?:key|token)"  # a word that says it by itself
_QUERY = re.compile(
    rf"(?P<key>[?&;#][\w.%-]*(?:{_KEYS})[\w.%-]*=|\b[\w.-]*(?:{_NAMED})\w*=)(?:{_QUOTED}|{{[^}}]*}}|[^&;#\s'\"<>)]+)",
    re.IGNORECASE,
)
_IN_A_VALUE = re.compile(rf"(?P<key>(?:{_NAMED})%3D)(?:(?!%3B)[^&\s'\"<>])+", re.IGNORECASE)  # as ODBC has it
_IN_JSON = re.compile(rf"(?P<key>[\"'][\w.-]*(?:{_NAMED})\w*[\"']\s*:\s*)(?:{_QUOTED})", re.IGNORECASE)
_HEADER = re.compile(r"\b(?P<kind>Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_HEADER_LINE = re.compile(
    r"(?P<key>\b(?:authorization|x-api-key)\b['\"]?\s*:\s*['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\"…]+",
    re.IGNORECASE,
)
_MARKDOWN = {character: f"&#{ord(character)};" for character in "|`\\"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 6  # characters of a secret that is hidden wherever it stands: a shorter one would be part of words


def visible(text: str) -> str:
    """The text with every control character, half of a pair and mark of direction written as ``\\u001b``.

    Line breaks and tabs stay. Inside a JSON string the escape means the same character.
    """
    return text if _is_harmless(text) else "".join(map(_shown, text))


def one_line(text: object) -> str:
    """The same for a name that stands inside a line: line breaks and tabs are written as escapes, too."""
    return visible(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def shown(name: str | bytes) -> str:
    """A file's name on one line: bytes that are not UTF-8 are written as ``\\xff``, and what nobody sees as escapes.

    A name without such characters stays as it is.
    """
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    return name if name.isprintable() else "".join(map(_escaped, name))


def in_markdown(text: object) -> str:
    """A name or message as part of a Markdown page or table: no tag, link, picture, code or cell begins in it.

    Brackets stay, as intervals have them; what makes a link of them does not.
    """
    found = "".join(_MARKDOWN.get(character, character) for character in visible(str(text)).replace("\n", " "))
    return found.replace("](", "]&#40;").replace("][", "]&#91;")


def without_secrets(text: str) -> str:
    """The text without what only an address' owner may know: users and passwords, tokens in queries and headers.

    ``https://ann:p@ss@host/x?token=1`` becomes ``https://…@host/x?token=…``. The values of the variables that hold a
    password for MLflow are hidden wherever they stand.
    """
    for value in filter(None, map(os.environ.get, SECRET_VARIABLES)):
        text = text.replace(value, HIDDEN)
    for secret in _own_secrets():
        text = text.replace(secret, HIDDEN)
    text = _USER.sub(HIDDEN, text)
    text = _ONE_SLASH.sub(HIDDEN, text)
    for pattern in (_QUERY, _IN_A_VALUE, _IN_JSON, _HEADER_LINE):
        text = pattern.sub(lambda found: found["key"] + HIDDEN, text)
    return _HEADER.sub(lambda found: f"{found['kind']} {HIDDEN}", text)


def without_credentials(address: str) -> str:
    """An address that may be stored and opened by others: what it asks is kept, who asks is not."""
    return _USER.sub("", address).replace("//@", "//", 1).partition("?")[0]


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print to standard output, or standard error, whatever the text holds; what is there appears at once."""
    file = sys.stderr if err else sys.stdout
    try:
        print(visible(str(text)), file=file, end="\n" if nl else "", flush=True)
    except BrokenPipeError:  # the reader has closed it, which is no fault
        raise
    except OSError as error:
        _send_to_nowhere(file)
        if err:  # there is nobody to tell, and the command can go on
            return
        reason = error.strerror or error
        raise UserError(f"standard output: cannot be written ({reason}); send it where there is room") from error


def _send_to_nowhere(file: Any) -> None:
    """What the stream still holds must not be an error again as Python ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


def _own_secrets() -> set[str]:
    """The password in ``MLFLOW_TRACKING_URI``, as it is written and as it is meant: messages may quote it alone.

    Whatever it holds: in this one address all that stands before the last @ is who asks, unless a path begins there.
    An @ in the query is none of them, if there is one before it.
    """
    rest = _AT.sub("@", os.environ.get("MLFLOW_TRACKING_URI", "")).partition("//")[2]
    asked = rest.partition("?")[0]
    who = "" if rest.startswith("/") else (asked if "@" in asked else rest).rpartition("@")[0]
    password = who.partition(":")[2]
    return {secret for secret in (password, unquote(password)) if len(secret) >= _SHORTEST}


def _is_harmless(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _shown(character: str) -> str:
    if character in _KEPT or (unicodedata.category(character) not in ("Cc", "Cs") and character not in _TURNING):
        return character
    return f"\\u{ord(character):04x}"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character in _SHORT:
        return _SHORT[character]
    if character in _JOINERS:
        return character
    if unicodedata.category(character) in ("Cc", "Cs", "Cf", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    return character
