"""What is signed of a model: an in-toto statement (https://in-toto.io/Statement/v1) about its file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.artifact.checksum import MODEL
from diminuendo.artifact.external_data import data_of
from diminuendo.artifact.lineage import FORMAT
from diminuendo.core.files import canonical_json, sha256_of
from diminuendo.signing.envelope import opened, parse, seal
from diminuendo.signing.errors import Untrusted
from diminuendo.signing.keys import PrivateKey, PublicKey

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = f"urn:diminuendo:lineage:{FORMAT}"  # the record of that format, see ``artifact.lineage.record``


@dataclass(frozen=True)
class Signed:
    """What a signature vouches for."""

    digest: str  # SHA-256 of the model file
    lineage: dict[str, Any]
    key: str  # id of the key


def sign(path: Path, lineage: dict[str, Any], key: PrivateKey) -> str:
    """The signature of a model file, as the text of a DSSE envelope; of Ed25519 keys it is the same every time.

    Args:
        lineage: the record that the file carries.
    """
    subjects = [_subject(MODEL, sha256_of(path))]
    if data := data_of(path):  # its weights, in a file of their own
        subjects.append(_subject(data.file, data.sha256))
    whole = {"_type": STATEMENT, "subject": subjects, "predicateType": PREDICATE, "predicate": lineage}
    return seal(canonical_json(whole).encode(), key)


def check_signature(
    text: str, key: PublicKey, digest: str, where: str, lineage: dict[str, Any] | None = None
) -> Signed:
    """Check that the key vouches for the file of this digest.

    Args:
        text: the signature.
        where: what messages begin with.
        lineage: the record in the file, which must be the one that was signed; None if it is not at hand.

    Raises:
        Untrusted: it does not; the message says what is wrong.
    """
    found, signed = _read(opened(parse(text, where), key, where), where)
    if found != digest:
        raise Untrusted(f"{where}: the signature of another file: it is of {found[:12]}, this one is {digest[:12]}")
    if lineage is not None and canonical_json(lineage) != canonical_json(signed):
        raise Untrusted(f"{where}: the lineage that was signed is not the one in the file; sign the model again")
    return Signed(digest, signed, key.id)


def subject_of(text: str, where: str) -> str:
    """The digest of the file that a signature says it is of; whether it holds is not asked."""
    return _read(parse(text, where).payload, where)[0]


def _subject(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest}}


def _read(payload: bytes, where: str) -> tuple[str, dict[str, Any]]:
    """Digest of the model and its lineage."""
    try:
        found = json.loads(payload)
        kinds = found["_type"], found["predicateType"]
        digest, lineage = found["subject"][0]["digest"]["sha256"], found["predicate"]
        is_it = kinds == (STATEMENT, PREDICATE) and isinstance(digest, str) and isinstance(lineage, dict)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        is_it = False
    if not is_it:
        raise Untrusted(f"{where}: signs something else than a model of diminuendo, expected {PREDICATE}")
    return digest, lineage
