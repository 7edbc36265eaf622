"""``diminuendo verify``: who vouches for a model: a key, or a commit of the project.

Everything else that is verified is integrity alone: whoever can write to MLflow can write a file, its digests and its
lineage anew. A signature, and git, are out of that writer's reach.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.core.errors import UserError
from diminuendo.provenance.descent import read_model, read_record
from diminuendo.provenance.dvc_cache import DAMAGED, MISSING, WHOLE
from diminuendo.provenance.finding import UNSEEN, UNVOUCHED, Finding
from diminuendo.provenance.places import Places
from diminuendo.provenance.shops import policy_for, shops
from diminuendo.provenance.target import model_of
from diminuendo.provenance.vouching import vouching
from diminuendo.registry.address import find, is_address
from diminuendo.signing import (
    Policy,
    PublicKey,
    Untrusted,
    check_signature,
    policy_of,
    read_signature,
    signature_path,
    subject_of,
)
from diminuendo.signing.statement import Signed

if TYPE_CHECKING:
    from diminuendo.registry.version import Version

Signature = Callable[[], tuple[str, str | None]]  # where it is, or would be, and its text if it is there

SIGN = "sign it (`diminuendo sign`) and verify it with --key"


def verify_origin(target: str, places: Places, key: PublicKey | None) -> Iterator[Finding]:
    """Who vouches for the model that a user names; nothing of a damaged one, which is found elsewhere.

    Args:
        key: that must have signed it. Without one, a signature is checked with the keys of the project, if it has any;
            a version of the registry must be signed as ``ship`` asks.
    """
    path = Path(target)
    if not path.exists() and is_address(target):
        version = find(target)
        yield from verify_version(version, places, _policy(version.name, places, key))
        return
    if path.is_file() or path.suffix == ".onnx":
        name = path.name
    else:
        model = model_of(target, places)
        path, name = places.file_of(model), model.name
    if path is not None and path.is_file():
        keys = [key] if key else _keys(places)
        yield from _origin(path, f"file {name}", places, keys, key is not None, _beside(path))


def verify_champions(places: Places, key: PublicKey | None) -> Iterator[Finding]:
    """The champion of every family of the project: its bytes, and who vouches for them.

    Args:
        key: that must have signed them; by default what ``ship`` asks for.
    """
    if places.project is None or not places.store.is_there:
        return
    from diminuendo.registry.version import champion

    for ship in shops(places.project):
        version = champion(ship.model)
        if version is not None:
            yield from verify_version(version, places, _policy(ship.model, places, key))
        elif key is not None:
            yield Finding(UNSEEN, f"champion of {ship.model}", "", "there is none yet, so none is signed")


def verify_version(version: Version, places: Places, policy: Policy) -> Iterator[Finding]:
    """One version of the registry, as it would be fetched."""
    what = f"{version.name}/{version.version} ({version.member})"
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = version.download(Path(folder))
            model = read_model(path)
        except UserError as error:
            yield Finding(DAMAGED, what, version.address, str(error))
            return
        yield Finding(WHOLE, what, version.address, f"sha256 {model.digest[:12]}")
        if model.name != version.member:
            detail = f"registered as {version.member}, but the file says that it is {model.name}"
            yield Finding(DAMAGED, what, version.address, detail)
            return
        keys = [policy.key] if policy.key else []
        yield from _origin(path, what, places, keys, policy.required, lambda: (version.address, version.signature()))


def _origin(
    path: Path, what: str, places: Places, keys: list[PublicKey], required: bool, signature: Signature
) -> Iterator[Finding]:
    """One finding about a whole file: a signature that holds, or else what git says."""
    what = f"origin of {what}"
    try:
        model, lineage = read_model(path), read_record(path)
    except UserError:
        return
    where = str(path)
    try:
        where, text = signature()
        if text is not None and keys:
            signed = _checked(text, keys, model.digest, where, lineage)
            yield Finding(WHOLE, what, where, f"signed with key {signed.key[:12]}")
            return
        if text is not None and (found := subject_of(text, where)) != model.digest:  # to see it, no key is needed
            raise Untrusted(f"the signature of another file: it is of {found[:12]}, this one is {model.digest[:12]}")
    except Untrusted as error:
        yield Finding(DAMAGED, what, where, str(error).removeprefix(f"{where}: "))
        return
    if required:
        yield Finding(MISSING, what, where, "not signed, though a signature by this key is asked for")
        return
    if text is not None:
        yield Finding(UNSEEN, what, where, "a signature is there, and no key to check it with: --key PUBLIC")
    if places.project is not None:
        found = vouching(path, model.name, places)
        if found:
            yield Finding(WHOLE, what, str(places.project), found.words)
        else:
            yield Finding(UNVOUCHED, what, where, f"{found.words}; {SIGN}")


def _checked(text: str, keys: list[PublicKey], digest: str, where: str, lineage: dict[str, Any]) -> Signed:
    """What one of the keys vouches for; the error of the last if none does."""
    for key in keys[:-1]:
        with suppress(Untrusted):
            return check_signature(text, key, digest, where, lineage)
    return check_signature(text, keys[-1], digest, where, lineage)


def _beside(path: Path) -> Signature:
    return lambda: (str(signature_path(path)), read_signature(path))


def _policy(name: str, places: Places, key: PublicKey | None) -> Policy:
    return Policy(key, required=True) if key else policy_for(name, places.project)


def _keys(places: Places) -> list[PublicKey]:
    """Those that the families of the project name, each once."""
    policies = [policy_of(ship, places.project) for ship in shops(places.project)] if places.project else []
    return list({policy.key.id: policy.key for policy in policies if policy.key}.values())
