"""The address that retraining posts its outcome to: looked at before anything runs, as it is used at the very end."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from diminuendo.core.addresses import trouble_with_address

WEBHOOK = "DIMINUENDO_WEBHOOK"  # in the environment: address that receives a POST of JSON
SCHEMES = ("http", "https")


def webhook_problem() -> str | None:
    """What is wrong with the address, without the address, which is a secret; None if it can be used or is not set."""
    address = os.environ.get(WEBHOOK)
    if not address:
        return None
    expected = f"{WEBHOOK}: expected https://HOST/… or http://HOST/…"
    if (trouble := trouble_with_address(address)) is not None:
        return f"{expected}, found {trouble}"
    parts = urlsplit(address)
    if parts.scheme.lower() not in SCHEMES:
        return f"{expected}, found {f'the scheme {parts.scheme[:20]}:' if parts.scheme else 'no scheme'}"
    if not parts.hostname:
        return f"{expected}, found no host in it"
    if parts.port == 0:
        return f"{expected}, found the port 0"
    if not address.isascii():
        return f"{expected}, found letters that are not ASCII in it; write them as %XX"
    return None
