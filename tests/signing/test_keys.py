"""Keys: what is written, what is read, and what is refused in one sentence."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.signing.keys import PASSPHRASE, PrivateKey, make_pair, read_private, read_public

MESSAGE = b"a model"


def written(folder, key, passphrase: bytes | None = None):
    """PEM files of a pair, as openssl writes them."""
    lock = pem.BestAvailableEncryption(passphrase) if passphrase else pem.NoEncryption()
    (folder / "private.pem").write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, lock))
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    return folder / "private.pem", folder / "public.pem"


def test_a_pair_signs_and_verifies_and_only_its_owner_reads_the_private_key(tmp_path):
    made = make_pair(tmp_path / "private.pem", tmp_path / "deep" / "public.pem", None)
    private, public = read_private(tmp_path / "private.pem"), read_public(tmp_path / "deep" / "public.pem")
    assert private.public.id == public.id == made.id and len(made.id) == 64
    signature = private.sign(MESSAGE)
    assert public.verifies(signature, MESSAGE) and private.sign(MESSAGE) == signature
    assert not public.verifies(signature, b"another") and not public.verifies(signature[:-1], MESSAGE)
    assert stat.S_IMODE((tmp_path / "private.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "private.pem", "public.pem"]
    assert str(private).startswith("PrivateKey(id=") and len(str(private)) < 40


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1])
def test_ecdsa_keys_are_taken_too(tmp_path, curve):
    private, public = written(tmp_path, ec.generate_private_key(curve()))
    signature = read_private(private).sign(MESSAGE)
    assert read_public(public).verifies(signature, MESSAGE) and not read_public(public).verifies(signature, b"x")
    assert not read_public(public).verifies(b"no DER", MESSAGE)


def test_a_passphrase_is_from_the_environment_or_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(PASSPHRASE, raising=False)
    make_pair(tmp_path / "private.pem", tmp_path / "public.pem", "sesame")
    assert b"ENCRYPTED" in (tmp_path / "private.pem").read_bytes()
    assert isinstance(read_private(tmp_path / "private.pem", lambda: "sesame"), PrivateKey)
    with pytest.raises(UserError, match=f"is encrypted; set {PASSPHRASE}"):
        read_private(tmp_path / "private.pem")
    with pytest.raises(UserError, match="cannot be decrypted: another passphrase"):
        read_private(tmp_path / "private.pem", lambda: "open")
    monkeypatch.setenv(PASSPHRASE, "sesame")
    assert isinstance(read_private(tmp_path / "private.pem"), PrivateKey)


def test_any_passphrase_makes_a_key_or_one_sentence(tmp_path, monkeypatch):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    monkeypatch.setenv(PASSPHRASE, os.fsdecode(b"open \xff"))
    made = make_pair(private, public, os.environ[PASSPHRASE])
    assert read_private(private).public.id == made.id
    with pytest.raises(UserError, match="1024 bytes, expected at most 1023"):
        make_pair(tmp_path / "other.pem", tmp_path / "another.pem", "x" * 1024)


def test_after_a_kill_nothing_of_a_key_lies_about_and_the_half_of_a_pair_is_explained(tmp_path):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    (tmp_path / ".private.pem.0123abcd.tmp").write_text("half a key")
    make_pair(private, public, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["private.pem", "public.pem"]
    with pytest.raises(UserError, match=r"give another name$"):
        make_pair(private, public, None)
    public.unlink()
    with pytest.raises(
        UserError, match=r"`openssl pkey -in .*private\.pem -pubout -out .*public\.pem` makes its public"
    ):
        make_pair(private, public, None)


def test_what_is_no_such_key_is_one_sentence(tmp_path):
    private, public = written(tmp_path, rsa.generate_private_key(65537, 2048))
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    (tmp_path / "cut").write_bytes(private.read_bytes()[:200])
    (tmp_path / "huge").write_bytes(b"-" * 70_000)
    os.mkfifo(tmp_path / "pipe")
    for read in (read_private, read_public):
        for name, said in (
            ("noise", "key in PEM"),
            ("cut", "expected the public one" if read is read_public else "key in PEM"),
            ("huge", "more than 65536 bytes"),
            ("pipe", "not a plain file"),
            ("missing", "there is no such key"),
            (".", "not a plain file"),
        ):
            with pytest.raises(UserError, match=said):
                read(tmp_path / name)
    for read, path in ((read_private, private), (read_public, public)):
        with pytest.raises(UserError, match="a key of another kind"):
            read(path)
    with pytest.raises(UserError, match="a private key, expected the public one"):
        read_public(private)


def test_keygen_overwrites_nothing_and_writes_no_private_key_into_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "sesame")
    (tmp_path / "repository").mkdir()
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)

    def keygen(*arguments) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["keygen", *map(str, arguments)])
        return result.exit_code, result.stdout + result.stderr

    private, public = tmp_path / "release.pem", tmp_path / "repository" / "release.pub"
    status, said = keygen(tmp_path / "repository" / "release.pem", public)
    assert status == 2 and "a private key belongs elsewhere" in said and not public.exists()
    assert keygen(private, private)[0] == 2
    assert keygen(private, public)[0] == 0 and public.is_file()
    before = private.read_bytes()
    status, said = keygen(private, tmp_path / "another.pub")
    assert status == 2 and "a key is never overwritten" in said and private.read_bytes() == before
    monkeypatch.delenv(PASSPHRASE)
    status, said = keygen(tmp_path / "second.pem", tmp_path / "second.pub")
    assert status == 2 and "leave the key unencrypted with --no-passphrase" in said
    assert keygen(tmp_path / "second.pem", tmp_path / "second.pub", "--no-passphrase")[0] == 0


@pytest.mark.parametrize("name", ["c.pem", "x/../c.pem", "link/c.pem"])
def test_two_names_of_one_file_make_no_half_of_a_pair(tmp_path, name):
    (tmp_path / "link").symlink_to(".")
    with pytest.raises(UserError, match="given for both keys; give two names"):
        make_pair(tmp_path / "c.pem", tmp_path / name, None)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_private_key_whose_public_one_cannot_be_written_is_not_left_behind(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        make_pair(tmp_path / "private.pem", tmp_path / ("x" * 250), None)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the keys")
def test_openssl_makes_keys_and_checks_what_they_sign(tmp_path):
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:sesame", "-out", "private.pem")
    openssl("pkey", "-in", "private.pem", "-passin", "pass:sesame", "-pubout", "-out", "public.pem")
    (tmp_path / "signature").write_bytes(read_private(tmp_path / "private.pem", lambda: "sesame").sign(MESSAGE))
    (tmp_path / "message").write_bytes(MESSAGE)
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "message", "-sigfile", "signature")
