"""``diminuendo sign``: a file of the project or anywhere, or a version of the registry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.artifact.external_data import check_data, files_of
from diminuendo.core.errors import UserError
from diminuendo.core.files import keep_inputs
from diminuendo.provenance.descent import Model, read_model, read_record
from diminuendo.provenance.places import Places
from diminuendo.provenance.vouching import vouching
from diminuendo.signing import PrivateKey, sign, signature_path, write_signature

if TYPE_CHECKING:
    from diminuendo.registry.version import Version


@dataclass(frozen=True)
class Done:
    """What was signed, where the signature is, and what to know about it."""

    name: str
    digest: str
    where: str
    note: str


def sign_file(
    model: Model, key: PrivateKey, places: Places, out: Path | None = None, key_file: Path | None = None
) -> Done:
    """Write the signature of a model file to ``out``, by default beside it.

    Args:
        key_file: where the key was read, which must not be replaced.

    Raises:
        UserError: no copy of the file is at hand, it lies where no signature can stand beside it, or the signature
            would replace what was read.
    """
    path = model.path if model.path and model.path.is_file() else places.file_of(model)
    if path is None:
        raise UserError(f"{model.name} {model.digest[:12]}: no whole copy of the file is at hand; give its path")
    check_data(path)
    if out is None and model.path is None:
        raise UserError(f"{path}: not a folder of yours; say where the signature goes: --out FILE")
    where = out or signature_path(path)
    keep_inputs(where, *files_of(path), key_file)
    text = sign(path, read_record(path), key)
    write_signature(where, text)
    return Done(
        model.name,
        model.digest,
        _shown(where),
        _note(path, model.name, places),
    )


def sign_version(version: Version, key: PrivateKey, places: Places, out: Path | None = None) -> Done:
    """Put a signature with a version of the registry, whose bytes are brought here and checked; also to ``out``."""
    from diminuendo.registry.signature import attach

    with tempfile.TemporaryDirectory() as folder:
        path = version.download(Path(folder))
        model = read_model(path)
        if model.name != version.member:
            raise UserError(f"{version.address}: registered as {version.member}, but the file is a {model.name}")
        text, note = sign(path, read_record(path), key), _note(path, model.name, places)
    attach(version, text)
    if out is not None:
        write_signature(out, text)
    return Done(model.name, model.digest, version.address, note)


def _shown(path: Path) -> str:
    """As a user in the working directory would write it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _note(path: Path, name: str, places: Places) -> str:
    """What the signer should know: that nothing but the file itself says where it is from."""
    if places.project is None:
        return ""
    found = vouching(path, name, places)
    return "" if found else f"{found.words}; you vouch for it alone"
