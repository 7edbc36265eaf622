"""The code that a result depends on: modules of ours, found by reading import statements, and their digest.

What a run happens to load depends on whether it was resumed and on the branches it took, and the digest must not. So
every import counts, wherever it stands in a file, and so does a string that is the name of a module of ours: processes
are started, and techniques are looked up, by such strings. A test runs every stage and fails for a module that was
loaded and is neither found here nor on one of the two lists below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from diminuendo.core.files import digest_of_json, sha256_of

SOURCE_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("diminuendo", "stages")
REGISTRY = "diminuendo/compression/registry.py"
MEMBER_STAGE = "member"  # runs the stage of a technique that has no module of its own in stages
TECHNIQUES = "TECHNIQUES"  # in the registry: section of the parameters to package
FAMILY_TABLE = "diminuendo/models/families.py"
FAMILIES = "FAMILIES"  # in the table: kind of a model's record to package
OPENS_CHECKPOINTS = "diminuendo.pretrained.checkpoint"

# Modules, with all below them, that are in no digest and are not followed, and why they cannot change a number.
LEFT_OUT = {
    "diminuendo.tracking": "records what happened; a stage reads nothing back from it",
    "diminuendo.provenance": "reads finished records and DVC's cache, and draws them; what a stage takes from there is "
    "checked by digest",
    "diminuendo.cli": "commands; no stage runs one",
    "diminuendo.public": "names that programs of others import",
    "diminuendo.artifact.lineage": "writes down what a result was made from, and checks it",
    "diminuendo.artifact.code": "finds the code that is written down",
    "diminuendo.parameters": "checks params.yaml and looks sections up: a record holds the values that came out, and "
    "the class of a section, with its defaults, is in the digest of the stages that declare the section in dvc.yaml",
    "diminuendo.compression.registry": "names of packages; the package of a stage's own technique is in its digest",
    "diminuendo.models.families": "names of packages; those of a member's own kind and its teacher's are in its digest",
    "diminuendo.compression.quantization.figure": "draws what was measured for MLflow; no output holds the picture",
    "diminuendo.core.addresses": "words of the message about MLflow's address, or a webhook's",
    "diminuendo.core.errors": "the exception that ends a stage",
    "diminuendo.core.disk": "words of the message that ends a stage on a full disk",
    "diminuendo.config.remedy": "words of the messages that end a stage",
    "diminuendo.core.plain_text": "writes text out for a reader; no output of a stage but a page holds what it changes",
    "diminuendo.core.git": "asks git about commits, for people",
    "diminuendo.core.extras": "words of the message about a package that is not installed",
    "diminuendo.training.display": "draws the progress bar of a training",
    "stages.stored": "finds earlier weights, and checks them by digest",
    "diminuendo.core.telemetry": "switches off what other tools report to their makers",
    "diminuendo.family": "where the files of a family are; what is in them is checked by digest",
    "stages.context": "puts the output in place",
    "stages.declared": "reads in dvc.yaml which parameters the record names",
    "stages.dependencies": "writes dvc.yaml; no stage runs it",
    "stages.finish": "writes the record of a finished output and tells MLflow",
    "stages.interruption": "ends processes; a stage that was ended leaves no output",
    "stages.settings": "looks the parameters up that the record holds",
    "stages.stage": "opens inputs by digest; what it hands over stands in the record",
    "stages.threads": "finds how many threads a training takes; the record holds the number",
    "stages.measure_threads": "times the first steps for stages.threads and keeps nothing else of them",
}

# Modules that the ones above load in every stage. They are in the digest of the stages whose own code imports them.
LOADED_ALONG = {
    "diminuendo.config.*": "classes of sections, loaded to check the whole of params.yaml",
    "diminuendo.*.config": "the same, for losses, models and techniques: a stage uses its own technique's alone",
    "diminuendo.compression.member": "what the sections of all techniques share",
    "diminuendo.compression.teacher": "the teacher's section, in the digest of its own stage",
    "diminuendo.compression.labels": "what members that learn from written texts ask of params.yaml",
    "diminuendo.compression.starting_point": "what that has in common with a student's, in the digest of both",
    "diminuendo.pretrained.*": "tells of which kind a checkpoint is, and is in the digest of prepare and of the "
    "stages of a teacher or a student that begins with one",
    "diminuendo.raw.*": "tells whether the raw files are those of an interrupted run; only index writes its answer",
    "diminuendo.artifact.checksum": "tells for the pictures of a descent whether a finished file is whole",
    "diminuendo.artifact.external_data": "tells for MLflow which file has the weights of a finished one",
    "diminuendo.artifact.record_check": "checks for the pictures of a descent what a record says",
    "diminuendo.artifact.stated": "reads for them values of the metadata",
    "diminuendo.artifact.wire": "reads for that what a finished file says of itself",
    "diminuendo.core.cores": "sets the most threads that are tried for a training; the record holds the number",
    "diminuendo.core.files": "writes the record and the output's folder",
    "diminuendo.core.locks": "keeps a second process from the same stage",
    "diminuendo.core.sizes": "writes numbers of bytes for a reader",
    "diminuendo.*.description": "says for the pictures of a descent what a technique did",
    "diminuendo.losses.needs": "tells whether the losses of params.yaml can be had",
    "diminuendo.models.architecture": "names the classes of sections that params.yaml may have",
    "diminuendo.models.parent_architecture": "one of those classes; a copy of a parent has it in its digest",
    "diminuendo.models.knowledge": "names what losses may need of a model, which params.yaml is checked for",
    "diminuendo.models.layer_map": "pairs layers, which params.yaml is checked for",
    "stages.index": "says where the digests of raw files are kept",
}

_FILE_NAME = re.compile(r"[\w-]+(\.[\w-]+)+")

# Sections of the parameters whose values a stage uses without importing the classes, where their defaults stand.
_PREPARED_BY = ("diminuendo.config.corpus", "diminuendo.config.frontend", "diminuendo.models.architecture")


# What no run of a stage uses, though its imports lead there: the family's teacher learns from text alone, which the
# parameters are checked for, and the terms of a loss are imported when they are asked for; a report tells of a
# checkpoint what the parameters say.
_NEVER_USED = {
    "train_teacher": tuple(
        f"diminuendo.losses.{name}" for name in ("alignment", "hidden", "kl", "sequence", "teacher")
    ),
    "report": ("diminuendo.pretrained",),
}


@dataclass(frozen=True)
class Scope:
    """What a digest of code covers.

    Attributes:
        without: modules that a member's settings do not use.
        kinds: of the models that the stage builds, see ``models.families``; None: all that there are.
    """

    stage: str
    without: tuple[str, ...] = ()
    kinds: tuple[str, ...] | None = None


def roots_of(stage: str, root: Path = SOURCE_ROOT, kinds: Iterable[str] | None = None) -> tuple[str, ...]:
    """Where ``modules_of`` begins: the stage's own module, its technique's, its models', and the classes of sections.

    The modules that read checkpoints of those kinds of models come with the one that opens checkpoints.

    Args:
        kinds: of the models that the stage builds; None: all that there are. One that the tree at ``root`` does not
            have, as that of an earlier commit, is passed over.
    """
    packages = techniques_of(root)
    models = [f"{package}.{module}" for package in _families(root, kinds) for module in ("family", "onnx_writer")]
    if stage == "train_teacher":
        return (f"stages.{stage}", "diminuendo.compression.teacher", *models, OPENS_CHECKPOINTS)
    if stage in packages:
        own = stage if (root / "stages" / f"{stage}.py").is_file() else MEMBER_STAGE
        return (f"stages.{own}", *(f"{packages[stage]}.{door}" for door in ("config", "technique", "writing")), *models)
    if stage == "prepare":  # asks a checkpoint how long its frames are, and takes its tokenizer
        return (f"stages.{stage}", *_PREPARED_BY, OPENS_CHECKPOINTS)
    if stage == "report":  # describes every technique from its settings
        told = [f"{package}.{door}" for package in packages.values() for door in ("config", "description")]
        return (f"stages.{stage}", *told)
    return (f"stages.{stage}",)


def _families(root: Path, kinds: Iterable[str] | None) -> list[str]:
    """The packages of these kinds of models; None: of all."""
    families = _literal(root, FAMILY_TABLE, FAMILIES)
    return [families[kind] for kind in (families if kinds is None else kinds) if kind in families]


def modules_of(
    stage: str, root: Path = SOURCE_ROOT, without: Iterable[str] = (), kinds: Iterable[str] | None = None
) -> dict[str, Path]:
    """The modules that can change the stage's result: of any member, or of those of a ``Scope``."""
    roots, without = roots_of(stage, root, kinds), (*_NEVER_USED.get(stage, ()), *without)
    found = modules_reachable(roots, root, without)
    if OPENS_CHECKPOINTS not in found:
        return found
    readers = (f"{package}.pretrained" for package in _families(root, kinds))
    return modules_reachable((*roots, *readers), root, without)


def training_modules_of(
    stage: str, root: Path = SOURCE_ROOT, without: Iterable[str] = (), kinds: Iterable[str] | None = None
) -> dict[str, Path]:
    """The modules that can change the weights that the stage trains: all but what writes files from them."""
    return modules_of(stage, root, (*_writers(root), *without), kinds)


def _writers(root: Path) -> tuple[str, ...]:
    """Modules that work on a trained model and have no part in training it."""
    families = _literal(root, FAMILY_TABLE, FAMILIES).values()
    doors = (f"{package}.writing" for package in techniques_of(root).values())
    return (
        "diminuendo.export",
        "diminuendo.artifact.history",
        "diminuendo.compression.writing",
        "stages.making",
        *doors,
        *(f"{family}.onnx_writer" for family in families),
    )


def modules_reachable(roots: Iterable[str], root: Path = SOURCE_ROOT, without: Iterable[str] = ()) -> dict[str, Path]:
    """Name to file of ``roots`` and all that they may import, directly or through others; sorted by name.

    A file beside a module that the module names, such as a template, is taken too, under its path.

    Args:
        roots: names of modules. One that does not exist is passed over, as is one of ``LEFT_OUT``.
        root: the folder of ``diminuendo`` and ``stages``.
        without: further modules, with all below them, that are neither taken nor followed: what a member's settings
            do not use, or what has no part in a training.
    """
    excluded = (*LEFT_OUT, *without)
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or _is_below(name, excluded):
            continue
        path = _source_of(name, root)
        if path is None:
            continue
        found[name] = path
        found |= {path.relative_to(root).as_posix(): path for path in _named_files(path)}
        waiting += _imports_of(name, path)
        waiting += [name.rsplit(".", 1)[0]] if "." in name else []  # importing a.b runs a/__init__.py
    return {name: found[name] for name in sorted(found) if not _says_nothing_else(found[name])}


def digest_of_modules(modules: dict[str, Path]) -> str:
    """SHA-256 over the names and bytes of modules; where they lie does not matter."""
    return digest_of_json({name: sha256_of(path) for name, path in modules.items()})


def code_digest(
    stage: str, root: Path = SOURCE_ROOT, without: Iterable[str] = (), kinds: Iterable[str] | None = None
) -> str:
    """SHA-256 over the modules that can change the stage's result."""
    return digest_of_modules(modules_of(stage, root, without, kinds))


def reachable_digest(roots: Iterable[str], root: Path = SOURCE_ROOT, without: Iterable[str] = ()) -> str:
    """SHA-256 over ``modules_reachable``."""
    return digest_of_modules(modules_reachable(roots, root, without))


def unexplained(stage: str, loaded: Iterable[str], root: Path = SOURCE_ROOT, without: Iterable[str] = ()) -> list[str]:
    """Those of the modules loaded by a run of the stage that are not in its digest and on no list."""
    known = modules_of(stage, root, without)
    ours = (name for name in sorted(set(loaded)) if (path := _source_of(name, root)) and not _says_nothing_else(path))
    return [name for name in ours if name not in known and reason_for(name) is None]


def reason_for(name: str) -> str | None:
    """Why a module that a stage loads need not be in its digest; None if there is no such reason."""
    for prefix, reason in LEFT_OUT.items():
        if _is_below(name, (prefix,)):
            return reason
    return next((reason for pattern, reason in LOADED_ALONG.items() if fnmatchcase(name, pattern)), None)


def _is_below(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def techniques_of(root: Path = SOURCE_ROOT) -> dict[str, str]:
    """Section of the parameters to package of its technique."""
    return _literal(root, REGISTRY, TECHNIQUES)


def _literal(root: Path, file: str, name: str) -> dict[str, str]:
    """A table, read from the source that holds it: ``root`` may be of another commit than what runs."""
    try:
        tree = ast.parse((root / file).read_bytes())
    except FileNotFoundError:
        return {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.literal_eval(node.value)
    return {}


def _source_of(name: str, root: Path) -> Path | None:
    if name.split(".", 1)[0] not in PACKAGES:
        return None
    base = root.joinpath(*name.split("."))
    if (path := base.with_suffix(".py")).is_file():
        return path
    return path if (path := base / "__init__.py").is_file() else None


@dataclass(frozen=True)
class _Said:
    """What a source says that a digest depends on, wherever it lies.

    Attributes:
        imports: level, module and names of each import; the names of a plain ``import`` are modules.
        modules: strings that are the name of a module of ours.
        files: strings that look like the name of a file.
        only: nothing in it has an effect, see ``_only_says``.
    """

    imports: tuple[tuple[int, str | None, tuple[str, ...]], ...]
    modules: tuple[str, ...]
    files: tuple[str, ...]
    only: bool


# Commits are searched for a digest, and most of their files are the same: each text is parsed once.
@lru_cache(maxsize=8192)
def _said(source: bytes) -> _Said:
    tree = ast.parse(source)
    imports: list[tuple[int, str | None, tuple[str, ...]]] = []
    modules, files = [], []
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            imports.append((0, None, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            modules += [node.value] if _names_a_module(node.value) else []
            files += [node.value] if _FILE_NAME.fullmatch(node.value) else []
    return _Said(tuple(imports), tuple(modules), tuple(dict.fromkeys(files)), _only_says(tree))


def _imports_of(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    said = _said(path.read_bytes())
    for level, origin, names in said.imports:
        if origin is None and not level:
            yield from names
            continue
        parts = package.split(".")
        start = parts[: len(parts) - level + 1] if level else []
        module = ".".join([*start, *([origin] if origin else [])])
        yield module
        yield from (f"{module}.{imported}" for imported in names)  # a name may be a submodule
    yield from said.modules


def _named_files(path: Path) -> Iterator[Path]:
    """Files in the module's folder, other than modules, that a string in it names."""
    names = _said(path.read_bytes()).files
    yield from (file for name in names if (file := path.with_name(name)).suffix != ".py" and file.is_file())


def _names_a_module(text: str) -> bool:
    first, dot, rest = text.partition(".")
    return bool(dot) and first in PACKAGES and all(part.isidentifier() for part in rest.split("."))


def _says_nothing_else(path: Path) -> bool:
    return path.suffix == ".py" and _said(path.read_bytes()).only


def _only_says(tree: ast.Module) -> bool:
    """Whether the module is nothing but its docstring, names such as ``__version__`` and imports without effect here.

    Those are imports of ``LEFT_OUT`` and of ``typing``, and what type checkers alone read.
    """

    def says(node: ast.stmt) -> bool:
        if isinstance(node, ast.Import):
            return all(_is_below(alias.name, (*LEFT_OUT, "typing")) for alias in node.names)
        if isinstance(node, ast.Assign):
            return all(ast.unparse(target).startswith("__") for target in node.targets)
        if isinstance(node, ast.If):
            return _is_for_type_checkers(node) and not node.orelse
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

    return all(map(says, tree.body))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below ``node`` except the bodies of ``if TYPE_CHECKING:``, which never run."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and _is_for_type_checkers(child):
            for other in child.orelse:
                yield other
                yield from _executed(other)
            continue
        yield from _executed(child)


def _is_for_type_checkers(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
