"""The key with which retraining signs what it makes, and what must agree before it begins.

A model that nobody signs cannot be promoted where ``ship.signed`` is ``required``. To notice that after hours of
training would be late.
"""

from __future__ import annotations

import os
from pathlib import Path

from diminuendo.config.shipping import ShipConfig
from diminuendo.core.errors import UserError
from diminuendo.signing import (
    PrivateKey,
    policy_of,
    read_private,
    read_signature,
    sign,
    signature_path,
    write_signature,
)

KEY = "DIMINUENDO_SIGNING_KEY"  # path of the private key


def signing_key(ship: ShipConfig) -> PrivateKey | None:
    """The private key; None if the variable names none, and no signature is required.

    Raises:
        UserError: it cannot be read, is not the counterpart of ``ship.key``, or is needed and not named.
    """
    policy, named = policy_of(ship), os.environ.get(KEY)
    if not named:
        if policy.required:
            raise UserError(
                f"ship.signed is required, and retraining has no key to sign with: set {KEY} to the path of the "
                "private key (and DIMINUENDO_KEY_PASSPHRASE if it is encrypted), or promote by hand"
            )
        return None
    try:
        key = read_private(Path(named))
    except UserError as error:
        raise UserError(f"{KEY}: {error}") from None
    if policy.key is not None and key.public.id != policy.key.id:
        raise UserError(
            f"{KEY}: {named}: its public key is {key.public.id[:12]}, and ship.key ({ship.key}) is "
            f"{policy.key.id[:12]}; name the private key that belongs to that one"
        )
    return key


def sign_candidate(model: Path, ship: ShipConfig) -> None:
    """Sign the model that a run has made, if there is a key and it has no signature yet."""
    from diminuendo.provenance.descent import read_record

    key = signing_key(ship)
    if key is not None and read_signature(model) is None:
        write_signature(signature_path(model), sign(model, read_record(model), key))
