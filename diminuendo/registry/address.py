"""Names of registered models as people write them: ``home@champion``, ``home/3``, ``models:/home/3``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.registry.store import existing_store, no_store
from diminuendo.registry.version import Version, aliased, all_versions, numbered, save_model
from diminuendo.signing import OPEN, Policy, Untrusted, read_signature, signature_path, subject_of, write_signature

_ADDRESS = re.compile(
    r"(?:models:/)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:@(?P<alias>[A-Za-z0-9._-]+)|/(?P<version>\d+))"
)
EXPECTED = "expected NAME@ALIAS or NAME/VERSION, such as home@champion or home/3"


@dataclass(frozen=True)
class Address:
    """A name in the registry; exactly one of ``alias`` and ``version`` is set."""

    name: str
    alias: str | None
    version: str | None


def is_address(text: str) -> bool:
    """Whether the text has the form of an address; the model need not exist."""
    return _ADDRESS.fullmatch(text) is not None


def parse(text: str) -> Address:
    """
    Raises:
        UserError: the text is not an address.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise UserError(f"{text}: not a name in the registry; {EXPECTED}")
    return Address(**match.groupdict())


def find(text: str) -> Version:
    """The version that an address names.

    Raises:
        UserError: the text is not an address, there is no store, or it has no such model, alias or version.
    """
    address = parse(text)
    with existing_store() as client:
        if client is None:
            raise no_store()
        if address.alias:
            found = aliased(client, address.name, address.alias)
        else:
            found = numbered(client, address.name, address.version)
        if found is None:
            known = all_versions(client, address.name)
            there = ", ".join(f"{one.version}{''.join(f' @{alias}' for alias in one.aliases)}" for one in known)
            raise UserError(f"{text}: not in the registry; versions of {address.name}: {there or 'none'}")
    if not found.digest:
        raise UserError(f"{text}: has no tag 'digest': it was not registered by `diminuendo promote`")
    return found


def resolve(text: str) -> str:
    """The digest (SHA-256 of ``model.onnx``) of the version that an address names; see ``find``."""
    return find(text).digest


def fetch(text: str, out: Path, policy: Policy = OPEN) -> Version:
    """Write the model that an address names to ``out``, after its bytes were compared with the registered digest.

    Its signature, if it has one, comes to lie beside it.

    Raises:
        Untrusted: it is not signed as the policy asks; nothing is written.
    """
    version = find(text)
    signature = version.admit(policy)
    save_model(version.address, version.digest, out)
    if signature is not None:
        write_signature(signature_path(out), signature)
    elif not _is_of(out, version.digest):
        signature_path(out).unlink()  # of a file that was here before
    return version


def _is_of(path: Path, digest: str) -> bool:
    """Whether a signature beside a file, if there is one, is of these bytes."""
    try:
        text = read_signature(path)
        return text is None or subject_of(text, str(path)) == digest
    except Untrusted:
        return False
