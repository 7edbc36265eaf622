"""Which signatures are asked for: ``ship.signed`` and ``ship.key`` of ``params.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.config.shipping import REQUIRED, ShipConfig
from diminuendo.core.errors import UserError
from diminuendo.signing.beside import read_signature, signature_path
from diminuendo.signing.errors import Untrusted
from diminuendo.signing.keys import PublicKey, read_public
from diminuendo.signing.statement import check_signature, subject_of


@dataclass(frozen=True)
class Policy:
    """What must be signed, and by whom.

    A signature that is there must hold, whether or not one is required: a broken one is never an accident of nobody.
    """

    key: PublicKey | None = None
    required: bool = False

    def admit(self, text: str | None, digest: str, what: str, remedy: str, lineage: dict[str, Any] | None = None):
        """Raise ``Untrusted`` unless a file may be shipped with this signature, or without one if it is None.

        Args:
            what: the file or version, for the message.
            remedy: a command that signs it.
            lineage: the record in the file, if it is at hand.
        """
        if text is None:
            if self.required:
                raise Untrusted(f"{what}: not signed, and signatures are required (ship.signed); {remedy} signs it")
            return
        if self.key is not None:
            check_signature(text, self.key, digest, what, lineage)
        elif (found := subject_of(text, what)) != digest:
            raise Untrusted(
                f"{what}: the signature with it is of another file, {found[:12]}, this one is {digest[:12]}: "
                "one of the two was replaced; find out which before anything is signed again"
            )

    def admit_file(self, path: Path, digest: str, lineage: dict[str, Any]) -> str | None:
        """The same of a file with the signature beside it, which is returned."""
        text = read_signature(path)
        what = str(path if text is None else signature_path(path))
        self.admit(text, digest, what, f"`diminuendo sign {path} --key PRIVATE`", lineage)
        return text


OPEN = Policy()


def policy_of(ship: ShipConfig | None, root: Path = Path()) -> Policy:
    """The policy of a parameter file.

    Args:
        root: what ``ship.key`` is relative to.

    Raises:
        UserError: the key cannot be read.
    """
    if ship is None or ship.key is None:
        return OPEN
    try:
        return Policy(read_public(root / ship.key), ship.signed == REQUIRED)
    except UserError as error:
        raise UserError(f"ship.key: {error}") from None


def key_problems(ship: ShipConfig | None) -> list[str]:
    """What is wrong with the key that a parameter file names, in a sentence; nothing if it names none."""
    try:
        policy_of(ship)
    except UserError as error:
        return [str(error)]
    return []
