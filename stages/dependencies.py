"""``python -m stages.dependencies``: write into ``dvc.yaml`` the code that each stage depends on, from its imports.

Entries of ``deps`` below ``diminuendo/`` and ``stages/`` are replaced, one line a file, after the data that the stage
reads, which are written by hand. The empty sections below ``vars`` are those of the registry of techniques. Everything
else stays as it is, byte for byte.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from diminuendo.artifact.code import PACKAGES, SOURCE_ROOT, modules_of, techniques_of
from diminuendo.artifact.lineage import LABEL
from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text

COMMAND = "python -m stages.dependencies"
PIPELINE = SOURCE_ROOT / "dvc.yaml"

_EMPTY = re.compile(r"  - \{(?:\w+: \{\}(?:, )?)*\}")  # below `vars`
_STAGE = re.compile(r"  (\w+):\s*")
_DEPS = re.compile(r"( +)deps:\s*")
_CODE = re.compile(rf" *- (?:{'|'.join(PACKAGES)})/")


def code_of(stage: str, root: Path = SOURCE_ROOT) -> list[str]:
    """The files of the stage's code, relative to ``root`` and sorted."""
    return sorted(path.relative_to(root).as_posix() for path in modules_of(stage, root).values())


def with_dependencies(text: str, root: Path = SOURCE_ROOT) -> str:
    """The text of ``dvc.yaml`` with the code of every stage in its ``deps``, and an empty section for each technique.

    Raises:
        UserError: a stage has no ``deps`` that stand one a line.
    """
    written: list[str] = []
    stage, indent, done = "", None, set()
    for line in [*text.splitlines(keepends=True), ""]:
        if indent and not line.startswith(indent):  # its list of data has ended
            written += [f"{indent}- {name}\n" for name in code_of(stage, root)]
            done.add(stage)
            indent = None
        if not stage and _EMPTY.match(line):
            line = _EMPTY.sub(
                f"  - {{{', '.join(f'{section}: {{}}' for section in (LABEL, *techniques_of(root)))}}}", line
            )
        if own := _STAGE.fullmatch(line):
            stage = own.group(1)
        elif deps := _DEPS.fullmatch(line):
            indent = f"{deps.group(1)}  "
        elif indent and _CODE.match(line):
            continue
        written.append(line)
    if missing := [name for name in yaml.safe_load(text)["stages"] if name not in done]:
        raise UserError(
            f"dvc.yaml: {', '.join(missing)}: expected a line `deps:` and below it one entry a line; write it so, "
            f"with the data alone, and run `{COMMAND}`"
        )
    return "".join(written)


def main() -> None:
    before = PIPELINE.read_text(encoding="utf-8")
    after = with_dependencies(before)
    if after != before:
        write_text(PIPELINE, after)
    said = "its dependencies fit the code" if after == before else "its dependencies are written anew"
    print(f"{PIPELINE.name}: {said}")


if __name__ == "__main__":
    main()
