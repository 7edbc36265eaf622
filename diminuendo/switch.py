"""Put another parameter file in place of ``params.yaml`` without losing what stood there."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

from diminuendo.config.load import load_params, parse_params
from diminuendo.errors import UserError
from diminuendo.files import write_text


def put_in_place(source: Path, target: Path, changes: Sequence[str] = (), force: bool = False) -> None:
    """Check ``source`` with ``changes`` (``key.path=value``), then write it to ``target`` atomically.

    Comments and order stay as they are in ``source``.

    Raises:
        UserError: the parameters are not valid, or ``target`` holds something that no file of the last commit holds.
    """
    load_params(source)
    text = source.read_text(encoding="utf-8")
    if changes:
        text = _changed(text, source, changes)
    if not force and target.exists() and target.read_text(encoding="utf-8") != text and not _committed(target):
        raise UserError(
            f"{target}: holds changes that are not committed and would be lost; "
            "commit it, copy it away, or give --force"
        )
    write_text(target, text)


def _changed(text: str, source: Path, changes: Sequence[str]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML()  # keeps comments, quotes and flow style
    yaml.width = 4096
    tree = yaml.load(text)
    for change in changes:
        key, equals, value = change.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise UserError(f"--set {change}: expected key.path=value, such as training.epochs=3")
        section = tree
        for index, part in enumerate(path[:-1]):
            if not isinstance(section, dict) or not isinstance(section.setdefault(part, {}), dict):
                raise UserError(f"--set {change}: {'.'.join(path[: index + 1])} is a value, it has no keys")
            section = section[part]
        try:
            section[path[-1]] = yaml.load(value) if value.strip() else None
        except YAMLError as error:
            raise UserError(f"--set {change}: the value is not YAML: {error}") from error
    written = io.StringIO()
    yaml.dump(tree, written)
    shown = f"{source} with " + ", ".join(f"--set {change}" for change in changes)
    parse_params(YAML(typ="safe").load(written.getvalue()), source=shown)
    return written.getvalue()


def _committed(path: Path) -> bool:
    """Whether a file of git's last commit has these very bytes, under whatever name."""
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    try:
        command = ["git", "ls-tree", "-r", "--full-tree", "HEAD"]  # lines of mode, kind, object, path
        listing = subprocess.run(command, cwd=path.resolve().parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return blob in listing.stdout.split()
