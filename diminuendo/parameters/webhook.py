"""The address that retraining posts its outcome to: looked at before anything runs, as it is used at the very end."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from diminuendo.core.plain_text import visible

WEBHOOK = "DIMINUENDO_WEBHOOK"  # in the environment: address that receives a POST of JSON
SCHEMES = ("http", "https")


def webhook_problem() -> str | None:
    """What is wrong with the address, without the address, which is a secret; None if it can be used or is not set."""
    address = os.environ.get(WEBHOOK)
    if not address:
        return None
    expected = f"{WEBHOOK}: expected https://HOST/… or http://HOST/…"
    if visible(address) != address or any(character.isspace() for character in address):
        return f"{expected}, found a space or a control character in it"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        if host:
            host.encode("idna")
    except ValueError as error:  # UnicodeError is one
        return f"{expected}, found an address that cannot be read ({_told(error)})"
    if parts.scheme.lower() not in SCHEMES:
        return f"{expected}, found {f'the scheme {parts.scheme[:20]}:' if parts.scheme else 'no scheme'}"
    if not host:
        return f"{expected}, found no host in it"
    if port == 0:
        return f"{expected}, found the port 0"
    if not address.isascii():
        return f"{expected}, found letters that are not ASCII in it; write them as %XX"
    return None


def _told(error: ValueError) -> str:
    """The kind of fault; Python's own words would quote the address."""
    return "its port is no number from 1 to 65535" if "ort" in str(error) else "its host is not one"
