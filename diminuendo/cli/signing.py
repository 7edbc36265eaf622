"""Commands that sign: ``keygen`` and ``sign``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.out import OUT_FILE
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo

_PATH = click.Path(path_type=Path)


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (keygen, sign):
        group.add_command(command)


@click.command()
@click.argument("private", type=_PATH)
@click.argument("public", type=_PATH)
@click.option("--no-passphrase", is_flag=True, help="Leave the private key unencrypted.")
def keygen(private: Path, public: Path, no_passphrase: bool) -> None:
    """Make a pair of keys (Ed25519): the PRIVATE one signs, the PUBLIC one verifies.

    The private key is encrypted with the passphrase in DIMINUENDO_KEY_PASSPHRASE, or one that is asked for. Keep it
    outside the repository; commit the public one. Keys of `openssl genpkey` do as well.
    """
    with plain_errors():
        from diminuendo.provenance.git import git
        from diminuendo.signing.keys import PASSPHRASE, make_pair

        folder = private.absolute().parent
        if folder.is_dir() and (root := git(folder, "rev-parse", "--show-toplevel").strip()):
            raise UserError(f"{private}: in the git repository {root}; a private key belongs elsewhere")
        passphrase = None if no_passphrase else os.environ.get(PASSPHRASE) or _asked(confirm=True)
        if not no_passphrase and not passphrase:
            raise UserError(f"no passphrase: set {PASSPHRASE}, or leave the key unencrypted with --no-passphrase")
        made = make_pair(private, public, passphrase)
        echo(f"{private}: the private key; keep it, and show it to nobody")
        echo(f"{public}: the public key {made.id[:12]}; commit it, and name it in params.yaml (ship.key)")


@click.command()
@click.argument("model")
@click.option("--key", type=_PATH, required=True, metavar="PRIVATE", help="The private key, in PEM.")
@click.option("--out", type=OUT_FILE, metavar="FILE", help="Where the signature goes; by default beside the file.")
@click.option("--project", type=click.Path(), help="Clone of the project to look in.")
def sign(model: str, key: Path, out: Path | None, project: str | None) -> None:
    """Sign MODEL, its digest and its lineage: a DSSE envelope with an in-toto statement.

    MODEL is an .onnx file, a member's name, or a name in the registry such as home@champion: there the signature is
    put with the version. The passphrase of an encrypted key is in DIMINUENDO_KEY_PASSPHRASE, or is asked for.
    """
    with plain_errors():
        from diminuendo.provenance.git import git
        from diminuendo.provenance.places import Places, project_at
        from diminuendo.provenance.signing import sign_file, sign_version
        from diminuendo.provenance.target import model_of
        from diminuendo.registry.address import find, is_address
        from diminuendo.signing import read_private

        if key.is_file() and git(key.absolute().parent, "ls-files", "--error-unmatch", "--", key.name):
            raise UserError(f"{key}: git tracks it; a private key belongs outside the repository: make a new pair")
        secret = read_private(key, _asked)
        places = Places(project_at(project))
        if is_address(model) and not Path(model).exists():
            signed = sign_version(find(model), secret, places, out)
        else:
            signed = sign_file(model_of(model, places), secret, places, out, key)
        echo(f"{signed.where}: {signed.name} {signed.digest[:12]} is signed with key {secret.public.id[:12]}")
        if signed.note:
            echo(f"note: {signed.note}", err=True)


def _asked(confirm: bool = False) -> str | None:
    """A passphrase from the terminal; None without a terminal."""
    if not click.get_text_stream("stdin").isatty():
        return None
    return click.prompt("Passphrase of the key", hide_input=True, confirmation_prompt=confirm, err=True)
