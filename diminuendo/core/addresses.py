"""What keeps an address from being read, in words without the address: it may hold a password."""

from __future__ import annotations

from urllib.parse import urlsplit

from diminuendo.core.plain_text import visible


def trouble_with_address(address: str) -> str | None:
    """Such as "a space or a control character in it"; None of an address that can be read."""
    if visible(address) != address or any(character.isspace() for character in address):
        return "a space or a control character in it"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
        if host:
            host.encode("idna")
    except ValueError as error:  # UnicodeError is one
        # The kind of fault alone: Python's own words would quote the address.
        fault = "its port is no number from 1 to 65535" if "ort" in _own_words(error) else "its host is not one"
        return f"an address that cannot be read ({fault})"
    return None


def _own_words(error: ValueError) -> str:
    """The beginning of Python's message, in front of what it quotes."""
    return str(error).partition("'")[0]
