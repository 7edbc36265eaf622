"""What a stage uses: of the parameters what ``dvc.yaml`` declares, of a parent what a child trains from."""

from __future__ import annotations

from typing import Any

from diminuendo.artifact import lineage
from diminuendo.config.names import TEACHER
from diminuendo.parameters import Params
from stages.declared import declared

READ_TO_TRAIN = ("config.json", "model.safetensors")  # of a parent, see diminuendo.models.store


def used_settings(params: Params, stage: str, name: str, member: str | None) -> dict[str, Any]:
    """The parameters that ``dvc.yaml`` declares for the stage; the member's own keys stand at the top.

    The folder of a pretrained checkpoint is named by its last part, as the same folder elsewhere is the same thing.

    Args:
        name: of the model, or of the stage where it makes none.
        member: as the stage was called with.
    """
    dumped = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    own = f"{stage}.{name}" if stage != "train_teacher" else TEACHER
    found: dict[str, Any] = {}
    for key in declared(stage, member).params:
        value = dumped
        for part in key.split("."):
            value = value.get(part)  # a section that is null was left out of the dump
        found |= value if key == own else {key: value}
    if name not in params.members:
        return found
    pretrained = getattr(params.members[name][1], "pretrained", None)
    if pretrained is not None:  # whose frontend is the checkpoint's own
        found = {key: value for key, value in found.items() if key != "frontend"}
        found["pretrained"] = pretrained.stated
    if not params.members[name][1].trains:
        found = {key: value for key, value in found.items() if key not in ("training", "losses")}
    if "training" in found:
        found["training"] = params.training_of(name).model_dump(mode="json", exclude_none=True)
    return found


def weights_of(files: dict[str, str]) -> dict[str, str]:
    """What a child reads of a model to train from it: its record and its weights, or else the shipped file."""
    read = {name: files[name] for name in (*READ_TO_TRAIN, lineage.LABELS) if name in files}
    return read or {lineage.MODEL: files[lineage.MODEL]}
