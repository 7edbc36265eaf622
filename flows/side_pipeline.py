"""``dvc.yaml`` of a further family: the root's stages with the family's own parameters and places.

DVC reads one ``dvc.yaml`` and one ``dvc.lock`` a folder. The file is written whenever the family is run, so that the
root's is the only one to edit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from diminuendo.errors import UserError
from diminuendo.family import VARIABLE, Family
from diminuendo.files import write_text

PLACES = ("data", "models", "evaluation", "reports")  # folders of outputs; every family has its own
ROOT_FILE = Path("dvc.yaml")


def write_pipeline(family: Family) -> None:
    """Bring the family's ``dvc.yaml`` up to date with the root's; nothing for the checkout's own family.

    Raises:
        UserError: there is no such parameter file, or the home is that of another one.
    """
    if family.name is None:
        return
    if not family.params.is_file():
        raise UserError(f"{family.params}: there is no such file; copy params.yaml there and change what differs")
    text = pipeline_of(family, yaml.safe_load(ROOT_FILE.read_text(encoding="utf-8")))
    if not family.pipeline.exists() or family.pipeline.read_text(encoding="utf-8") != text:
        write_text(family.pipeline, text)


def pipeline_of(family: Family, root: dict[str, Any]) -> str:
    """The text of the family's ``dvc.yaml``, from the content of the root's."""
    up = Path(*[".."] * len(family.home.parts))
    stages = {}
    for name, entry in root["stages"].items():
        if "foreach" in entry:
            stages[name] = entry | {"do": _moved(entry["do"], family, up)}
        else:
            stages[name] = _moved(entry, family, up)
    content = root | {"vars": [str(up / family.params), *root.get("vars", [])], "stages": stages}
    ordered = {"vars": content.pop("vars"), **content}
    head = f"# Made from {up / ROOT_FILE} for {family.params} (flows/side_pipeline.py); an edit here is lost.\n"
    return head + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=120)


def _moved(stage: dict[str, Any], family: Family, up: Path) -> dict[str, Any]:
    """A stage that still works in the repository's root, with the family's parameters, inputs and outputs."""

    def own(path: Any) -> Any:
        if isinstance(path, dict):  # an output with settings
            return {own(name): settings for name, settings in path.items()}
        return (family.home / path).as_posix() if path.split("/")[0] in PLACES else path

    moved = stage | {"cmd": f"{VARIABLE}={family.params} {stage['cmd']}", "wdir": str(up)}
    for section in ("deps", "outs"):
        if section in stage:
            moved[section] = [own(path) for path in stage[section]]
    if "params" in stage:
        moved["params"] = [{str(family.params): stage["params"]}]
    return moved
