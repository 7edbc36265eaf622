"""DSSE, the Dead Simple Signing Envelope (https://github.com/secure-systems-lab/dsse, version 1.0.2).

Only one form of the JSON is accepted, so that a byte that changes is a byte that is noticed: base64 in its canonical
form, no unknown and no repeated keys. White space is free.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from diminuendo.core.files import json_text
from diminuendo.signing.errors import Untrusted
from diminuendo.signing.keys import PrivateKey, PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_SIGNATURES = 16


@dataclass(frozen=True)
class Envelope:
    """A payload and its signatures, none of them checked yet: pairs of key id, which may be empty, and bytes."""

    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload, each behind its length, so that neither can be taken for the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, key: PrivateKey) -> str:
    """The text of an envelope with one signature."""
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return json_text(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key.public.id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def parse(text: str, where: str) -> Envelope:
    """Read an envelope without checking its signatures.

    Raises:
        Untrusted: it is none; the message begins with ``where``.
    """
    try:
        found = json.loads(text, object_pairs_hook=_each_key_once)
        _expect(set(found) == {"payload", "payloadType", "signatures"}, "other keys than an envelope's")
        kind = found["payloadType"]
        _expect(kind == PAYLOAD_TYPE, f"the payload is {kind!r:.80}, expected {PAYLOAD_TYPE}")
        _expect(isinstance(found["signatures"], list) and found["signatures"], "it holds no signature")
        _expect(len(found["signatures"]) <= MOST_SIGNATURES, f"more than {MOST_SIGNATURES} signatures")
        pairs = tuple(_signature(one) for one in found["signatures"])
        return Envelope(_decoded(found["payload"]), pairs)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else "not JSON as it was written"
        raise Untrusted(f"{where}: not a signature, or a damaged one ({reason}); sign the model again") from None


def opened(envelope: Envelope, key: PublicKey, where: str) -> bytes:
    """The payload, once the key vouches for it.

    Raises:
        Untrusted: no signature is of this key, or it does not hold.
    """
    message = pre_authentication_encoding(PAYLOAD_TYPE, envelope.payload)
    own = [signature for key_id, signature in envelope.signatures if key_id in ("", key.id)]
    if any(key.verifies(signature, message) for signature in own):
        return envelope.payload
    if not own:
        others = ", ".join(key_id[:12] for key_id, _ in envelope.signatures)
        raise Untrusted(f"{where}: signed with another key ({others}), expected {key.id[:12]}")
    raise Untrusted(
        f"{where}: the signature does not hold for key {key.id[:12]}: it, or what it signs, was changed or forged"
    )


def _signature(one: Any) -> tuple[str, bytes]:
    _expect(isinstance(one, dict) and {"sig"} <= set(one) <= {"sig", "keyid"}, "a signature has other keys")
    key_id = one.get("keyid", "")
    _expect(isinstance(key_id, str) and key_id.isprintable() and len(key_id) <= 200, "a key id is no text")
    return key_id, _decoded(one["sig"])


def _decoded(text: Any) -> bytes:
    _expect(isinstance(text, str), "base64 was expected")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("base64 was expected") from None
    _expect(base64.b64encode(content).decode() == text, "its base64 is not in canonical form")
    return content


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _expect(len(found) == len(pairs), "a key stands there twice")
    return found


def _expect(condition: Any, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
