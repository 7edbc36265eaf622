"""A digest that a shipped file carries of itself, so that damage is found where nothing else is at hand.

The metadata key ``diminuendo.checksum`` holds the SHA-256 of the file's bytes with that value's 64 digits as zeros.
It is found and checked in the raw bytes: nothing of a file that may be damaged is parsed.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from diminuendo.artifact.external_data import mapped
from diminuendo.artifact.wire import Content

MODEL = "model.onnx"  # the name of a shipped file in its folder
KEY = "diminuendo.checksum"
UNSEALED = "0" * 64
# As protocol buffers write an entry of metadata_props: the key, then field 2 of 64 bytes.
_ENTRY = re.compile(re.escape(KEY.encode()) + rb"\x12\x40([0-9a-f]{64})")


def seal_of(content: Content) -> tuple[int, bytes]:
    """Where the checksum goes into the bytes of an ONNX file in which it is ``UNSEALED``, and its digits.

    Raises:
        ValueError: there is not exactly one such entry.
    """
    start, found = _value(content)
    if found != UNSEALED:
        raise ValueError(f"{KEY} is {found!r}, expected zeros")
    return start, hashlib.sha256(content).hexdigest().encode()


def stated_checksum(content: Content) -> str | None:
    """What the bytes say of themselves; None if they say nothing."""
    try:
        return _value(content)[1]
    except ValueError:
        return None


def actual_checksum(content: Content) -> str:
    """What the checksum of these bytes would have to be."""
    start, _ = _value(content)
    with memoryview(content) as view, view[:start] as before, view[start + 64 :] as after:
        digest = hashlib.sha256(before)
        digest.update(UNSEALED.encode())
        digest.update(after)
    return digest.hexdigest()


def is_damaged(path: str | Path) -> bool:
    """Whether a file contradicts its own checksum; one without a checksum cannot.

    Weights in another file are not looked at, see ``external_data.check_data``.
    """
    with mapped(path) as content:
        stated = stated_checksum(content)
        return stated is not None and stated != actual_checksum(content)


def _value(content: Content) -> tuple[int, str]:
    entries = list(_ENTRY.finditer(content))
    if len(entries) != 1:
        raise ValueError(f"expected one entry {KEY}, found {len(entries)}")
    return entries[0].start(1), entries[0].group(1).decode()
