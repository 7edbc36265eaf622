"""A repository whose teacher is a pretrained checkpoint, of a family of models that the repository has in its sources.

The family is the Transformer of the tests: stages and commands that run in processes of their own know it, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.factories.audio import dummy_corpus
from tests.factories.checkpoint import write_checkpoint
from tests.factories.minute import make_minute_project, write_minute_params
from tests.factories.project import run
from tests.factories.switched import voices_params

OWN = Path(__file__).with_name("transformer")
KIND = "transformer-of-the-tests"
OWN_HEAD = {"teacher": {"pretrained": {"path": "../../checkpoints/tiny"}}, "text": {"units": "checkpoint"}}
NEW_HEAD = {
    "teacher": {
        "pretrained": {"path": "../../checkpoints/tiny"},
        "head": "ctc",
        "training": {"epochs": 1, "layer_decay": 0.9, "frozen_layers": 1},
    },
    "text": {"units": "characters"},
}
MEMBERS = {"quantize": {"teacher-int8": {"from": "teacher", "scheme": "int8_dynamic"}}}


def add_transformer(project: Path) -> None:
    """The family as one of the repository's own: its package, and its lines in the tables."""
    package = project / "diminuendo/models/transformer"
    package.mkdir()
    for path in OWN.glob("*.py"):
        text = path.read_text(encoding="utf-8").replace("tests.factories.transformer", "diminuendo.models.transformer")
        (package / path.name).write_text(text, encoding="utf-8")
    (package / "__init__.py").write_text('"""A Transformer."""\n', encoding="utf-8")
    table = project / "diminuendo/models/families.py"
    text = table.read_text(encoding="utf-8")
    for name, line in {
        "FAMILIES": f'    "{KIND}": "diminuendo.models.transformer",\n',
        "PRETRAINED": f'    "tiny_transformer": "{KIND}",\n',
    }.items():
        begin = f"{name}: dict[str, str] = {{\n"
        assert text.count(begin) == 1
        text = text.replace(begin, begin + line)
    table.write_text(text, encoding="utf-8")


def begun_params(changes: dict[str, Any]) -> dict[str, Any]:
    """``params.yaml`` for the dummy corpus: a teacher from a checkpoint, and a quantized copy of it."""
    params = voices_params() | MEMBERS
    params["data"]["path"] = "../../speech"
    params["text"] |= changes["text"]
    return params | {"teacher": changes["teacher"]}


def make_begun_project(place: Path, changes: dict[str, Any] = OWN_HEAD) -> Path:
    """The repository ``place/home/project``, committed; recordings and checkpoint are outside. Nothing is run yet."""
    dummy_corpus(place / "speech")
    write_checkpoint(place / "checkpoints/tiny")
    project = make_minute_project(place / "home/project")
    add_transformer(project)
    write_minute_params(project / "params.yaml", begun_params(changes))
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "a teacher from a checkpoint")
    return project


def set_params(project: Path, changes: dict[str, Any]) -> None:
    write_minute_params(project / "params.yaml", begun_params(changes))


def edit_path(project: Path, folder: str) -> None:
    """``teacher.pretrained.path`` names another folder."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["teacher"]["pretrained"]["path"] = folder
    write_minute_params(path, params)
