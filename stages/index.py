"""Stage index: which files prepare reads, what is in them, what the teacher and students begin with, and who there is.

A pretrained checkpoint is fetched here, and its files are hashed as those of the corpus are: DVC depends on them by way
of ``data/teacher.json`` and ``data/students/NAME.json``, wherever they lie.

``evaluate`` and ``report`` depend on the members that are written here, and not on sections of the parameter file by
name: DVC refuses a section that is not in the file. DVC runs this stage at each repro, so it imports little.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.artifact.code import techniques_of
from diminuendo.config.names import LONGEST_NAME, MEMBER_NAME, TEACHER
from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.files import write_text
from diminuendo.core.plain_text import echo
from diminuendo.family import current
from diminuendo.raw.index import build_index
from stages.interruption import end_with_ancestor, exit_on_signal

STUDENTS = ("distill", "distill_on_labels")  # sections whose members may begin with a checkpoint
KEPT = Path(".work/index")  # what each source's digests were the last time


def main() -> None:
    with exit_on_signal():
        if "DVC_STAGE" not in os.environ:
            end_with_ancestor()
        family = current()
        parameters = _parameters(family.params)
        index = build_index(parameters["data"], KEPT)
        outputs = {family.index: index.text(), family.members: members_of(parameters)}
        outputs[family.beginning] = beginning_of(parameters)
        outputs |= {family.students / f"{name}.json": text for name, text in students_of(parameters)}
        family.students.mkdir(parents=True, exist_ok=True)
        for path in set(family.students.glob("*.json")) - set(outputs):
            path.unlink()
        for path, text in outputs.items():
            if not path.is_file() or path.read_bytes() != text.encode():
                write_text(path, text)
        echo(f"{len(index)} raw files, {index.read} of them read")


def members_of(parameters: dict[str, Any]) -> str:
    """The sections that have members, in the order of the file, as JSON; one that is empty or absent is left out."""
    techniques = techniques_of()
    sections = {key: value for key, value in parameters.items() if key in techniques and value}
    return json.dumps(sections, indent=1, ensure_ascii=False, default=str) + "\n"


def beginning_of(parameters: dict[str, Any]) -> str:
    """What ``prepare`` depends on of the teacher, as JSON: what decides how long its frames are, or a checkpoint.

    Sections are looked at unchecked; what is missing or wrong is said by ``diminuendo check`` and by every stage.
    """
    teacher = parameters.get("teacher")
    teacher = teacher if isinstance(teacher, dict) else {}
    if "pretrained" in teacher:
        from diminuendo.pretrained.index import files_of

        found = files_of(teacher["pretrained"], f"{TEACHER}.pretrained", KEPT)
        if teacher.get("head", "own") == "own":
            found["head"] = "own"  # whose tokens are in the corpus
    else:
        found = {"architecture": teacher.get("architecture"), "frontend": parameters.get("frontend")}
    return json.dumps(found, indent=1, sort_keys=True, default=str) + "\n"


def students_of(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The name of each student, and as JSON what it begins with beside its architecture: a checkpoint, or nothing."""
    for section in STUDENTS:
        members = parameters.get(section)
        for name, settings in members.items() if isinstance(members, dict) else ():
            if not isinstance(name, str) or not MEMBER_NAME.fullmatch(name) or len(name) > LONGEST_NAME:
                continue  # no name of a file
            given, found = settings.get("pretrained") if isinstance(settings, dict) else None, {}
            if given is not None:
                from diminuendo.pretrained.index import files_of

                found = files_of(given, f"{section}.{name}.pretrained", KEPT)
            yield name, json.dumps(found, indent=1, sort_keys=True) + "\n"


def _parameters(path: Path) -> dict[str, Any]:
    """Read without the checks of ``diminuendo.parameters``, whose import takes longer than everything else."""
    import yaml

    try:
        parameters = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if not isinstance(data := parameters["data"], dict):
            raise TypeError(f"it is {data!r}")
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        wanted = "expected data.source, data.path and data.collected"
        raise UserError(f"{path}: the section 'data' cannot be read ({error}); {wanted}") from None
    return parameters


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        echo(f"error: index: {error}", err=True)
        sys.exit(USER_ERROR)
