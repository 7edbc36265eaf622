"""One run of retraining: what its steps share."""

from __future__ import annotations

from pathlib import Path

from diminuendo.collection.batches import Batch
from diminuendo.core.errors import UserError
from diminuendo.family import current
from diminuendo.parameters import Params, load_params
from diminuendo.parameters.webhook import webhook_problem
from flows.retraining.memory import Memory
from flows.retraining.signing import signing_key
from flows.retraining.workspace import Workspace

# How a run ends: the name of its state in Prefect.
PROMOTED, REFUSED, UNCHANGED, NO_NEW_DATA, SKIPPED = "Promoted", "Refused", "Unchanged", "NoNewData", "Skipped"


class Run:
    """What the tasks of one run share. Paths are relative to the worktree, in which they all work."""

    def __init__(self, params: Params, workspace: Workspace, memory: Memory) -> None:
        self.params, self.workspace, self.memory = params, workspace, memory
        self.batches: list[Batch] = []
        self.incoming_files: tuple[str, ...] = ()

    @property
    def quarantine(self) -> Path:
        return self.workspace.root / self.params.retrain.quarantine

    @property
    def model(self) -> Path:
        return Path("models") / self.params.ship.member / "model.onnx"

    @property
    def tag(self) -> str:
        return f"retraining/{self.memory['run']}"

    def reload(self) -> None:
        self.workspace.link_checkpoints()
        self.params = checked_params()


def checked_params() -> Params:
    """``params.yaml`` of the current folder, with all that retraining needs.

    Raises:
        UserError: a section is missing, the key to sign with, or nothing can be posted to the webhook.
    """
    if (family := current()).name is not None:
        raise UserError(
            f"DIMINUENDO_PARAMS: {family.params}; retraining is of the checkout's own family: "
            f"`diminuendo use {family.params}` makes that one it"
        )
    params = load_params()
    for section in ("ship", "gate", "retrain"):
        if getattr(params, section) is None:
            raise UserError(f"params.yaml: {section}: missing, and retraining needs it; see docs/retraining.md")
    if params.ship.member not in params.members:
        raise UserError(f"params.yaml: ship.member: there is no member {params.ship.member!r}")
    signing_key(params.ship)
    if (problem := webhook_problem()) is not None:
        raise UserError(problem)
    return params
