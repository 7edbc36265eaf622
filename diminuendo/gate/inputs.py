"""The files that the gate is given: found, checked against their digests, and only then read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from diminuendo.artifact import lineage
from diminuendo.artifact.checksum import is_damaged
from diminuendo.artifact.external_data import bytes_of_files, check_data, mapped
from diminuendo.artifact.record_check import check_parts
from diminuendo.artifact.stated import PREFIX, name_in, read_json
from diminuendo.artifact.wire import metadata_in
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.family import current
from diminuendo.signing import Policy

LINEAGE = f"{PREFIX}lineage"
TEACHER_STAGE = "train_teacher"

# (digest, folder) to a whole copy of that model file in the folder, None where MLflow has none.
Fetch = Callable[[str, Path], Path | None]


class Registered(Protocol):
    """What the gate must know of a registered model; ``registry.Version`` is one."""

    @property
    def version(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def admit(self, policy: Policy) -> str | None: ...

    def download(self, folder: Path) -> Path: ...


@dataclass(frozen=True)
class Model:
    """A shipped file whose bytes match its record or its own checksum."""

    path: Path
    digest: str
    name: str
    lineage: dict[str, Any]  # as in the file; see ``artifact.lineage.record``

    @property
    def bytes(self) -> int:
        return bytes_of_files(self.path)

    @property
    def teachers(self) -> list[str]:
        """Digests of its teachers, from its own lineage."""
        if self.lineage.get("stage") == TEACHER_STAGE:
            return [self.digest]
        ancestors = self.lineage.get("ancestors", {})
        return sorted(digest for digest, record in ancestors.items() if record.get("stage") == TEACHER_STAGE)


def open_model(path: Path) -> Model:
    """Check a ``model.onnx`` and read its name and lineage.

    Raises:
        UserError: it is missing, damaged, or not one of ours.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder, expected an ONNX file; did you mean {path / lineage.MODEL}?")
    if not path.is_file():
        raise UserError(f"{path}: there is no such model file; {repro(path)} makes models/<name>/model.onnx")
    has_record = path.name == lineage.MODEL and (path.parent / lineage.RECORD).is_file()
    if has_record:
        digest = lineage.verified_record(path.parent)["files"][lineage.MODEL]
    elif is_damaged(path):
        raise UserError(f"{path}: damaged: its content does not match the checksum that it carries; get a whole copy")
    else:
        digest = sha256_of(path)
    check_data(path, digest=not has_record)  # a record names every file
    name, record = _read(path)
    return Model(path, digest, name, record)


def member_or_file(text: str, members: list[str]) -> Path:
    """The file of a member of the family, or the file that was given as such.

    Raises:
        UserError: it is neither.
    """
    if text in members:
        return current().models / text / lineage.MODEL
    path = Path(text)
    if path.suffix == ".onnx" or len(path.parts) > 1 or path.exists():
        return path
    raise UserError(f"{text}: neither a file nor a member of the family; members: {', '.join(members)}")


def find_teacher(candidate: Model, work: Path, fetch: Fetch) -> Model:
    """The teacher that the candidate descends from: beside it, in ``models/``, or in MLflow.

    Args:
        work: folder for downloads.
        fetch: asked for a file that is not on this machine.

    Raises:
        UserError: the candidate names none, or it cannot be found.
    """
    if candidate.digest in candidate.teachers:
        return candidate
    if len(candidate.teachers) != 1:
        found = "no teacher" if not candidate.teachers else f"{len(candidate.teachers)} teachers"
        raise UserError(f"{candidate.path}: its lineage names {found}, expected one; say which: --teacher FILE")
    (digest,) = candidate.teachers
    places = list(dict.fromkeys(_places(candidate.path)))
    for path in places:
        if path.is_file() and sha256_of(path) == digest:
            return open_model(path)
    path = fetch(digest, work)
    if path is not None:
        return open_model(path)
    looked = ", ".join(str(path) for path in places)
    raise UserError(
        f"{candidate.path}: its teacher {digest[:12]}… is not at hand (looked at {looked} and in MLflow); "
        f"{repro(candidate.path)} makes the family whole, or say where the teacher is: --teacher FILE"
    )


def _places(path: Path) -> Iterator[Path]:
    yield path.parent.parent / "teacher" / lineage.MODEL
    yield current().models / "teacher" / lineage.MODEL


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        with mapped(path) as content:
            metadata = metadata_in(content)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as an ONNX file ({error}); give a model.onnx") from None
    try:
        if LINEAGE not in metadata:
            raise ValueError(f"there is no key {LINEAGE}")
        return name_in(metadata), check_parts(read_json(metadata[LINEAGE], "lineage"))
    except ValueError as error:
        raise UserError(
            f"{path}: an ONNX file, but not a model of diminuendo: it does not say its name and lineage ({error}); "
            "give a models/<name>/model.onnx"
        ) from None
