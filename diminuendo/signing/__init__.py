"""Signatures of shipped files: who made a file, where its checksum says only that it is whole.

A signature is a DSSE envelope around an in-toto statement: its subject is the SHA-256 of the file, its predicate the
lineage that the file carries. It lies beside the file, as ``model.onnx.sig``, and among the files of its version in
MLflow.
"""

from diminuendo.signing.beside import NAME, read_signature, signature_path, text_of, write_signature
from diminuendo.signing.errors import Untrusted
from diminuendo.signing.keys import PrivateKey, PublicKey, read_private, read_public
from diminuendo.signing.policy import OPEN, Policy, policy_of
from diminuendo.signing.statement import check_signature, sign, subject_of

__all__ = [
    "NAME",
    "OPEN",
    "Policy",
    "PrivateKey",
    "PublicKey",
    "Untrusted",
    "check_signature",
    "policy_of",
    "read_private",
    "read_public",
    "read_signature",
    "sign",
    "signature_path",
    "subject_of",
    "text_of",
    "write_signature",
]
