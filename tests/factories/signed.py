"""A shop whose models git and keys vouch for, and somebody who can write to its MLflow, and to nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest
import yaml

from diminuendo.artifact.onnx_file import write_onnx
from diminuendo.core.files import sha256_of
from diminuendo.signing.keys import PrivateKey, make_pair, read_private


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def seal(path: Path) -> Path:
    """Give a file the checksum that a shipped one carries."""
    write_onnx(path, onnx.load(path))
    return path


def track_models(folder: Path) -> None:
    """Write ``dvc.lock`` and the objects of DVC's cache for the models, as DVC would."""
    stages = {}
    for model in sorted((folder / "models").iterdir()):
        files = {path.name: path.read_bytes() for path in sorted(model.iterdir()) if path.suffix != ".sig"}
        md5s = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()}
        listing = json.dumps([{"md5": md5s[name], "relpath": name} for name in files]).encode()
        whole = f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"
        for md5, content in ((whole, listing), *((md5s[name], content) for name, content in files.items())):
            place = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        stages[model.name] = {"cmd": "true", "outs": [{"path": f"models/{model.name}", "hash": "md5", "md5": whole}]}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def change_ship(folder: Path, **keys: str | None) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["ship"] |= keys
    path.write_text(yaml.safe_dump(params))


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> tuple[Path, Path]:
    """A private and a public key, outside of every repository."""
    folder = tmp_path_factory.mktemp("keys")
    make_pair(folder / "private.pem", folder / "public.pem", None)
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture
def private(keys) -> PrivateKey:
    return read_private(keys[0])


@pytest.fixture
def repository(shop, keys) -> Path:
    """The shop as a repository with a committed ``dvc.lock``, and the public key in it; no signature is asked for."""
    (shop / "dvc.yaml").write_text("stages: {}\n")
    (shop / ".gitignore").write_text("/models\n/data\n/mlflow.db*\n/mlartifacts\n/.work\n/.dvc\n")
    shutil.copy(keys[1], shop / "public.pem")
    for name in ("student", "slim"):
        seal(shop / "models" / name / "model.onnx")
    track_models(shop)
    git(shop, "init", "-q")
    git(shop, "add", "-A")
    git(shop, "commit", "-qm", "the family")
    return shop


def swap_champion(name: str, forged: Path, signature: str | None = None) -> None:
    """What a writer to MLflow can do: the champion's file, its signature, and every digest of it, are others now."""
    from diminuendo.tracking.store import open_client

    client, digest = open_client()[0], sha256_of(forged)
    version = client.get_model_version_by_alias(name, "champion")
    model_id = version.source.removeprefix("models:/")
    folder = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    shutil.copy(forged, folder / "model.onnx")
    (folder / "model.onnx.sig").unlink(missing_ok=True)
    if signature is not None:
        (folder / "model.onnx.sig").write_text(signature)
    settings = yaml.safe_load((folder / "MLmodel").read_text())
    settings["metadata"]["digest"] = digest
    (folder / "MLmodel").write_text(yaml.safe_dump(settings))
    client.set_logged_model_tags(model_id, {"digest": digest})
    client.set_model_version_tag(name, version.version, "digest", digest)
    client.set_model_version_tag(name, version.version, "bytes", str(forged.stat().st_size))
