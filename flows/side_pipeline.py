"""``dvc.yaml`` of a further family: the root's stages with the family's own parameters and places.

DVC reads one ``dvc.yaml`` and one ``dvc.lock`` a folder. The file is written whenever the family is run, so that the
root's and the parameter file are the only ones to edit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from diminuendo.artifact.lineage import LABEL
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text
from diminuendo.family import FAMILIES, VARIABLE, Family

PLACES = ("data", "models", "labels", "evaluation", "reports")  # folders of outputs; every family has its own
ROOT_FILE = Path("dvc.yaml")


def write_pipeline(family: Family) -> None:
    """Bring the family's ``dvc.yaml`` up to date with the root's; nothing for the checkout's own family.

    Raises:
        UserError: the root's cannot be read.
    """
    if family.name is None:
        return
    parameters = yaml.safe_load(family.params.read_text(encoding="utf-8"))
    text = pipeline_of(family, read_yaml(ROOT_FILE), parameters)
    if not family.pipeline.exists() or family.pipeline.read_text(encoding="utf-8") != text:
        write_text(family.pipeline, text)


def read_yaml(path: Path) -> dict[str, Any]:
    """A file of DVC's.

    Raises:
        UserError: it is not there or is no mapping in YAML.
    """
    try:
        with open(path, encoding="utf-8") as file:  # from a file: YAML's errors name it
            found = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if not isinstance(found, dict):
            raise TypeError(f"expected a mapping, found {type(found).__name__}")
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: cannot be read ({reason}); DVC reads the pipelines of all families. Take it from git "
            f"(`git checkout {path}`)" + (f", or remove {path.parent}" if path.parent != Path() else "")
        ) from None
    return found


def check_pipelines() -> None:
    """Every ``dvc.yaml`` and ``dvc.lock`` of the checkout can be read: DVC reads them all, whichever family it runs.

    Raises:
        UserError: one cannot.
    """
    if not read_yaml(ROOT_FILE).get("stages"):
        raise UserError(f"{ROOT_FILE}: it has no stages; take it from git (`git checkout {ROOT_FILE}`)")
    for name in ("dvc.yaml", "dvc.lock"):
        for path in [Path(name), *sorted(FAMILIES.glob(f"*/{name}"))]:
            if path.exists():
                read_yaml(path)


def pipeline_of(family: Family, root: dict[str, Any], parameters: dict[str, Any]) -> str:
    """The text of the family's ``dvc.yaml``, from the content of the root's and of its parameter file.

    What the root's takes from ``params.yaml`` stands in it: DVC reads the pipelines of all families whichever it works
    on, and a parameter file that is gone or cannot be read must not stop the others.
    """
    taken = {"data": {key: parameters["data"].get(key) for key in ("path", "collected")}}
    for section in (LABEL, *FAMILY_SECTIONS):
        members = parameters.get(section) or {}
        named = {name: [key for key in ("from", "labels") if key in member] for name, member in members.items()}
        taken[section] = {name: {key: members[name][key] for key in keys} for name, keys in named.items()}
    up = Path(*[".."] * len(family.home.parts))
    stages = {}
    for name, entry in root["stages"].items():
        if "foreach" in entry:
            stages[name] = entry | {"do": _moved(entry["do"], family, up)}
        else:
            stages[name] = _moved(entry, family, up)
    content = root | {"vars": [taken], "stages": stages}
    # DVC shows no plot at all while one of them is in a folder that a dvc.lock names and nobody has made yet.
    content.pop("plots", None)
    ordered = {"vars": content.pop("vars"), **content}
    head = f"# Made from {up / ROOT_FILE} for {family.params} (flows/side_pipeline.py); an edit here is lost.\n"
    return head + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=120)


def _moved(stage: dict[str, Any], family: Family, up: Path) -> dict[str, Any]:
    """A stage that still works in the repository's root, with the family's parameters, inputs and outputs."""

    def own(path: Any) -> Any:
        if isinstance(path, dict):  # an output with settings
            return {own(name): settings for name, settings in path.items()}
        return (family.home / path).as_posix() if path.split("/")[0] in PLACES else path

    # DVC's name of the stage depends on the folder in which DVC was called, so the command itself says whose it is.
    moved = stage | {"cmd": f"DVC_STAGE= {VARIABLE}={family.params} {stage['cmd']}", "wdir": str(up)}
    for section in ("deps", "outs"):
        if section in stage:
            moved[section] = [own(path) for path in stage[section]]
    if "params" in stage:
        moved["params"] = [{str(family.params): stage["params"]}]
    return moved
