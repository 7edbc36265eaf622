"""Key pairs in PEM files, made here or by openssl: Ed25519 (RFC 8032), and ECDSA over P-256 or P-384 (FIPS 186-5)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from diminuendo.core.errors import UserError
from diminuendo.core.files import left_over, temporary_file

MOST_BYTES = 65536  # of a key's file
MOST_PASSPHRASE = 1023  # bytes, in OpenSSL
PASSPHRASE = "DIMINUENDO_KEY_PASSPHRASE"
MAKE = "`diminuendo keygen PRIVATE PUBLIC` makes a pair"
_HASHES = {"secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384}
_KINDS = "Ed25519, or ECDSA over P-256 or P-384"


@dataclass(frozen=True)
class PublicKey:
    """What checks signatures."""

    key: Ed25519PublicKey | EllipticCurvePublicKey

    @property
    def id(self) -> str:
        """SHA-256 of the key (its SubjectPublicKeyInfo in DER), as 64 hexadecimal digits."""
        der = self.key.public_bytes(pem.Encoding.DER, pem.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether whoever holds the private key signed these bytes."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ECDSA(_HASHES[self.key.curve.name]()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """What signs; ``repr`` shows nothing of it."""

    key: Any

    def __repr__(self) -> str:
        return f"PrivateKey(id={self.public.id[:12]})"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(message)
        return self.key.sign(message, ECDSA(_HASHES[self.key.curve.name]()))


def read_public(path: Path) -> PublicKey:
    """
    Raises:
        UserError: there is no public key of a kind that is used.
    """
    content = _content(path)
    if b"PRIVATE KEY-----" in content:
        raise UserError(
            f"{path}: a private key, expected the public one; `openssl pkey -in {path} -pubout` prints it, and the "
            "private one belongs on no machine that only verifies"
        )
    try:
        key = pem.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{path}: not a public key in PEM, expected {_KINDS}; {MAKE}") from None
    if not _is_known(key, Ed25519PublicKey, EllipticCurvePublicKey):
        raise UserError(f"{path}: a key of another kind ({type(key).__name__}), expected {_KINDS}; {MAKE}")
    return PublicKey(key)


def read_private(path: Path, passphrase: Callable[[], str | None] = lambda: None) -> PrivateKey:
    """
    Args:
        passphrase: asked if the key is encrypted and the variable ``DIMINUENDO_KEY_PASSPHRASE`` is not set.

    Raises:
        UserError: there is no private key of a kind that is used, or the passphrase is wrong.
    """
    content = _content(path)
    try:
        key = pem.load_pem_private_key(content, None)
    except TypeError:  # it is encrypted
        key = _decrypted(path, content, os.environ.get(PASSPHRASE) or passphrase())
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{path}: not a private key in PEM (PKCS #8), expected {_KINDS}; {MAKE}") from None
    if not _is_known(key, Ed25519PrivateKey, EllipticCurvePrivateKey):
        raise UserError(f"{path}: a key of another kind ({type(key).__name__}), expected {_KINDS}; {MAKE}")
    return PrivateKey(key)


def make_pair(private: Path, public: Path, passphrase: str | None) -> PublicKey:
    """Write a new Ed25519 pair; the private key is readable by its owner alone, and encrypted with a passphrase.

    Raises:
        UserError: one of the files is there already, or cannot be written.
    """
    for path in (private, public):
        if path.exists() or path.is_symlink():
            alone = path == private and not os.path.lexists(public)  # as after a kill between the two
            half = f"; `openssl pkey -in {private} -pubout -out {public}` makes its public key" if alone else ""
            raise UserError(f"{path}: is there already; a key is never overwritten, give another name{half}")
    if os.path.realpath(private) == os.path.realpath(public):
        raise UserError(f"{private}: given for both keys; give two names")
    for stale in (*left_over(private), *left_over(public)):  # of a run that was killed: half a secret is one, too
        stale.unlink(missing_ok=True)
    made = PrivateKey(Ed25519PrivateKey.generate())
    phrase = passphrase.encode("utf-8", "surrogateescape") if passphrase else b""
    if len(phrase) > MOST_PASSPHRASE:
        raise UserError(f"the passphrase has {len(phrase)} bytes, expected at most {MOST_PASSPHRASE}")
    lock = pem.BestAvailableEncryption(phrase) if passphrase else pem.NoEncryption()
    secret = made.key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, lock)
    shown = made.public.key.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    written: list[Path] = []
    try:
        for path, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
            with temporary_file(path) as temporary:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)  # unlike a rename it replaces nothing
                written.append(path)
    except OSError as error:
        for path in written:  # half a pair is of no use
            path.unlink(missing_ok=True)
        raise UserError(f"{error.filename2 or error.filename}: cannot be written ({error.strerror})") from None
    return made.public


def _content(path: Path) -> bytes:
    if not path.is_file():  # nor a pipe or a device, which may have no end
        what = "not a plain file" if path.exists() else "there is no such key"
        raise UserError(f"{path}: {what}; {MAKE}")
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES} bytes, which no key has; {MAKE}")
    return content


def _decrypted(path: Path, content: bytes, passphrase: str | None) -> Any:
    if not passphrase:
        raise UserError(f"{path}: is encrypted; set {PASSPHRASE}, or run the command in a terminal, where it asks")
    try:
        return pem.load_pem_private_key(content, passphrase.encode("utf-8", "surrogateescape"))
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{path}: cannot be decrypted: another passphrase, or a damaged file") from None


def _is_known(key: Any, edwards: type, elliptic: type) -> bool:
    return isinstance(key, edwards) or (isinstance(key, elliptic) and key.curve.name in _HASHES)
