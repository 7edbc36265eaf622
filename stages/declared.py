"""What ``dvc.yaml`` declares of a stage: read there, so that it is said in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from diminuendo.artifact.code import SOURCE_ROOT


@dataclass(frozen=True)
class Declared:
    """A stage of ``dvc.yaml`` for one member; ``${key}`` stands for the member's name."""

    stage: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]  # dotted keys of params.yaml


@cache
def _stages(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]


def stage_names(path: Path = SOURCE_ROOT / "dvc.yaml") -> list[str]:
    return list(_stages(path))


def declared(stage: str, member: str | None = None, path: Path = SOURCE_ROOT / "dvc.yaml") -> Declared:
    entry = _stages(path)[stage]
    entry = entry.get("do", entry)

    def filled(section: str) -> tuple[str, ...]:
        names = (next(iter(item)) if isinstance(item, dict) else item for item in entry.get(section, []))
        return tuple(name.replace("${key}", member or "${key}") for name in names)

    return Declared(stage, filled("deps"), filled("outs"), filled("params"))
