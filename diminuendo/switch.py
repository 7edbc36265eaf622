"""Replace a parameter file, such as ``params.yaml``, without losing its content."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text
from diminuendo.core.git import run_git, trouble_with
from diminuendo.family import SOURCES
from diminuendo.parameters.load import load_params, parse_params
from diminuendo.parameters.yaml_text import parse_yaml

KEPT = Path(".work/params")  # in the checkout: a copy of every text that was written, by its digest


def put_in_place(
    source: Path, target: Path, changes: Sequence[str] = (), force: bool = False, removed: Sequence[str] = ()
) -> None:
    """Check ``source`` without the keys ``removed`` and with ``changes`` (``key.path=value``), then write ``target``.

    Order stays as it is in ``source``, and so do comments, save those of ``_drop_stale_comment``. A copy is kept in
    ``.work/params``, so that it is recognised, and not lost, when it is replaced.

    Raises:
        UserError: the parameters are not valid, or ``target`` has content that is in no commit and was not written
            here.
    """
    load_params(source)
    text = source.read_text(encoding="utf-8")
    if changes or removed:
        text = _changed(text, source, changes, removed)
    content = text.encode()
    if not force:
        check_replaceable(target, "give --force", content)
    if not _is_kept(target, content):  # first: after a kill nothing may look like the user's own
        write_text(_kept(target, content), text)
    write_text(target, text)


def check_replaceable(target: Path, otherwise: str, content: bytes | None = None) -> None:
    """Refuse to replace what is nowhere else.

    Args:
        otherwise: what else to do, in the error.
        content: the new one; None: not known yet.
    Raises:
        UserError: ``target`` has content that is in no commit and was not written here.
    """
    if target.exists() and not _is_safe(target, target.read_bytes(), content):
        trouble = trouble_with(target.resolve().parent)
        raise UserError(
            f"{target}: holds changes of your own that are not committed and would be lost; "
            f"commit it, copy it away, or {otherwise}" + (f" ({trouble})" if trouble else "")
        )


def _is_safe(target: Path, found: bytes, content: bytes | None) -> bool:
    """Whether nothing is lost if ``content`` replaces what was ``found``."""
    return found == content or _is_kept(target, found) or _committed(target, found)


def _kept(target: Path, content: bytes) -> Path:
    checkout = target.parent.parent if target.parent.name == SOURCES.name else target.parent
    return checkout / KEPT / f"{hashlib.sha256(content).hexdigest()}.yaml"


def _is_kept(target: Path, content: bytes) -> bool:
    kept = _kept(target, content)
    return kept.is_file() and kept.read_bytes() == content


def _changed(text: str, source: Path, changes: Sequence[str], removed: Sequence[str]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes null where ruamel writes nothing, which reads as if a value were missing."""

    Representer.add_representer(type(None), lambda own, _: own.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml = YAML()  # keeps comments and flow style
    yaml.Representer = Representer
    yaml.preserve_quotes = True  # some are needed in YAML 1.1 alone, by which parameters are read
    emptied = False
    yaml.width = 4096
    tree = yaml.load(text)
    for key in removed:
        *above, last = key.split(".")
        section = tree
        for part in above:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise UserError(f"--unset {key}: {source} has no such key")
        del section[last]
        emptied = emptied or not section
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
            new = _quoted(yaml.load(value)) if value.strip() else None
        except YAMLError as error:
            reason = getattr(error, "problem", None) or error
            raise UserError(f"--set {change}: the value is not YAML: {reason}") from error
        _drop_stale_comment(section, path[-1], new)
        section[path[-1]] = new
    written = io.StringIO()
    yaml.dump(tree, written)
    told = [*(f"--unset {key}" for key in removed), *(f"--set {change}" for change in changes)]
    shown = f"{source} with {', '.join(told)}"
    try:
        content = parse_yaml(written.getvalue(), shown)
    except UserError as error:
        if not emptied or error.__cause__ is None:
            raise
        raise UserError(  # ruamel writes an empty section behind its comment, which is not YAML
            f"{shown}: a section would be left without keys, but with its comment; take it out as a whole "
            "(--unset SECTION), or keep a key of it"
        ) from error
    parse_params(content, source=shown)
    return written.getvalue()


def _drop_stale_comment(section: Any, key: str, new: Any) -> None:
    """Take the comment behind a value away that is about to change, as it may say why the old one was chosen.

    It stays where it explains the key: it says what may stand there (it names the new value, or begins as
    ``# manifest: …`` does), or the old value was null, for which nobody need give a reason.
    """
    marks = getattr(section, "ca", None) and section.ca.items.get(key)
    token = marks[2] if marks else None  # the comment on the key's line, and what follows up to the next key
    old = section.get(key)
    if token is None or old is None or (old == new and isinstance(old, bool) == isinstance(new, bool)):
        return
    comment, _, following = token.value.partition("\n")
    name = "null" if new is None else str(new).lower() if isinstance(new, bool) else new
    named = isinstance(name, str) and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", comment)
    if named or re.match(r"#\s*[\w-]+: ", comment):
        return
    if following:
        token.value = f"\n{following}"
    else:
        marks[2] = None


def _quoted(value: Any) -> Any:
    """The value with quotes around texts that the reader of parameters would not take for the same without them."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        for key, one in value.items():
            value[key] = _quoted(one)
    elif isinstance(value, list):
        value[:] = [_quoted(one) for one in value]
    elif type(value) is str:
        try:
            same = parse_yaml(f"[{value}]", "") == [value]
        except UserError:
            same = False
        return value if same else DoubleQuotedScalarString(value)
    return value


def _committed(path: Path, content: bytes) -> bool:
    """Whether any commit has a file with exactly these bytes."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    # Usually it is in the last commit, which is faster to check than all of them.
    last = ("ls-tree", "-r", "--full-tree", "HEAD")  # lines of mode, kind, object, path
    if blob in _git(path, *last).split():
        return True
    return bool(_git(path, "log", "--all", "-m", "--max-count=1", "--format=%H", f"--find-object={blob}"))


def _git(path: Path, *arguments: str) -> str:
    try:
        done = run_git(path.resolve().parent, *arguments)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if done.returncode else done.stdout.decode("utf-8", errors="replace")
