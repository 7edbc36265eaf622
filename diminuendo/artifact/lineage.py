"""Where a model came from: the record beside every model file, and the check that both are whole.

A record names its parents, corpus, parameters and code by digest and nothing that changes between two runs of
the same thing (no time, host, run or commit), so that the same inputs give the same bytes. It repeats the records of
all its ancestors and corpora: one file alone tells its whole descent.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, sha256_of, write_json

FORMAT = 2
RECORD = "lineage.json"
MODEL = "model.onnx"
RAW = "sources.json"  # in a prepared corpus: the digest of every raw file that it was made from
SOURCE_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("diminuendo", "stages")

# What a record says of its ancestors: all but their own ancestors, which stand beside them, and their files.
OWN_KEYS = ("stage", "name", "parameters", "code", "corpus", "parents")

# What runs around a stage and cannot change its result: an edit here must not make a teacher train again.
SCAFFOLD = (
    "diminuendo.tracking", "diminuendo.cli", "diminuendo.artifact.lineage", "diminuendo.provenance",
    "diminuendo.core.errors", "diminuendo.family", "diminuendo.core.telemetry", "stages.context", "stages.threads",
)  # fmt: skip


def modules_of(stage: str, root: Path = SOURCE_ROOT) -> dict[str, Path]:
    """Our modules that ``stages.<stage>`` may import, directly or through others, without the scaffold.

    Found by reading the import statements, wherever they stand in the file: what a run happens to load
    depends on whether it was resumed and on the branches it took, and the digest must not.
    """
    found: dict[str, Path] = {}
    waiting = [f"stages.{stage}"]
    while waiting:
        name = waiting.pop()
        if name in found or _is_scaffold(name):
            continue
        path = _source_of(name, root)
        if path is None:
            continue
        found[name] = path
        waiting += _imports_of(name, path)
        waiting += [name.rsplit(".", 1)[0]] if "." in name else []  # importing a.b runs a/__init__.py
    return {name: found[name] for name in sorted(found) if not _only_says(found[name])}


def code_digest(stage: str, root: Path = SOURCE_ROOT) -> str:
    """SHA-256 over the names and bytes of the modules that can shape the stage's result."""
    return digest_of_json({name: sha256_of(path) for name, path in modules_of(stage, root).items()})


def record(
    stage: str,
    name: str,
    parameters: dict[str, Any],
    *,
    code: str,
    corpus: str,
    parents: dict[str, str],
    ancestors: dict[str, Any] | None = None,
    corpora: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The lineage of a model without the digests of its own files, as it also stands in the ONNX metadata.

    Args:
        parents: name to digest of the models that it was made from.
        ancestors: digest to record (``OWN_KEYS``) of its parents, their parents, and so on; see ``ancestors_of``.
        corpora: digest to summary (``corpus_summary``) of its own corpus and its ancestors'.
    """
    return {
        "format": FORMAT,
        "stage": stage,
        "name": name,
        "parameters": parameters,
        "code": code,
        "corpus": corpus,
        "parents": parents,
        "ancestors": ancestors or {},
        "corpora": corpora or {},
    }


def ancestors_of(parents: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``ancestors`` and ``corpora`` of a child of these whole records."""
    ancestors: dict[str, Any] = {}
    corpora: dict[str, Any] = {}
    for whole in parents:
        ancestors |= whole["ancestors"] | {whole["files"][MODEL]: {key: whole[key] for key in OWN_KEYS}}
        corpora |= whole["corpora"]
    return ancestors, corpora


def corpus_summary(corpus: dict[str, Any]) -> dict[str, Any]:
    """What a record says of a corpus, from its ``corpus.json``: ``raw`` is the digest of the list of its raw files."""
    summary = {key: corpus[key] for key in ("source", "sample_rate", "parameters", "splits") if key in corpus}
    raw = corpus.get("files", {}).get(RAW)
    return {**summary, **({"raw": raw} if raw else {})}


def write_record(folder: Path, lineage: dict[str, Any]) -> dict[str, Any]:
    """Write ``lineage.json`` over all files in ``folder``; ``digest`` covers the rest of the record."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    whole = {**lineage, "files": {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}}
    whole["digest"] = digest_of_json(whole)
    write_json(folder / RECORD, whole)
    return whole


def verified_record(folder: Path) -> dict[str, Any]:
    """Read ``lineage.json`` and check every file that it names, before anything of the model is loaded.

    Raises:
        UserError: the record or a file is missing, truncated or changed; the message names it.
    """
    path = folder / RECORD
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        stated = {key: value for key, value in whole.items() if key != "digest"}
        files = dict(whole["files"])
        intact = whole["digest"] == digest_of_json(stated)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {_remedy(folder)}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: not a lineage record ({error}); {_remedy(folder)}") from None
    if not intact:
        raise UserError(f"{path}: changed since it was written; {_remedy(folder)}")
    if whole["format"] != FORMAT:
        raise UserError(
            f"{path}: format {whole['format']!r}, expected {FORMAT}; remove {folder} and run "
            f"{repro(folder, force=True)}"
        )
    for name, expected in sorted(files.items()):
        verify_file(folder / name, expected, _remedy(folder))
    return whole


def verify_file(path: Path, expected: str, remedy: str) -> None:
    """Raise a ``UserError`` that names the file unless its SHA-256 is ``expected``."""
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing, though its lineage names it; {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    if found != expected:
        raise UserError(
            f"{path}: damaged: its SHA-256 is {found[:12]}…, its lineage says {expected[:12]}… "
            f"({path.stat().st_size} bytes); {remedy}"
        )


def _remedy(folder: Path) -> str:
    # DVC checks a damaged cache object out without a word: removing the workspace's copy may not be enough.
    return f"remove {folder} and run `dvc checkout`, or, if that brings it back, {repro(folder, force=True)}"


def _is_scaffold(name: str) -> bool:
    return name in SCAFFOLD or name.startswith(tuple(f"{part}." for part in SCAFFOLD))


def _source_of(name: str, root: Path) -> Path | None:
    if name.split(".", 1)[0] not in PACKAGES:
        return None
    base = root.joinpath(*name.split("."))
    if (path := base.with_suffix(".py")).is_file():
        return path
    return path if (path := base / "__init__.py").is_file() else None


def _imports_of(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            start = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)  # a name may be a submodule


def _only_says(path: Path) -> bool:
    """Whether the module is nothing but its docstring, names such as ``__version__`` and imports of the scaffold."""

    def says(node: ast.stmt) -> bool:
        if isinstance(node, ast.Import):
            return all(_is_scaffold(alias.name) for alias in node.names)
        return isinstance(node, ast.Expr) or (
            isinstance(node, ast.Assign) and all(ast.unparse(target).startswith("__") for target in node.targets)
        )

    return all(map(says, ast.parse(path.read_text(encoding="utf-8")).body))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below ``node`` except the bodies of ``if TYPE_CHECKING:``, which never run."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
            continue
        yield from _executed(child)
