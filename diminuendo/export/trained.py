"""Everything that a trained member leaves in its folder, read back before it is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diminuendo.artifact.history import HISTORY, SUMMARY, write_history
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.core.files import write_json
from diminuendo.export.check import check_parity
from diminuendo.export.write import export_model
from diminuendo.models.model import SpeechModel
from diminuendo.models.store import save_model


def deliver(
    folder: Path,
    model: SpeechModel,
    *,
    name: str,
    tokens: list[str],
    lineage: dict,
    history: list[dict] | None,
    summary: dict,
    teacher_layers: Sequence[int] | None = None,
) -> None:
    """Write the weights, the shipped file, the curves and the technique's own figures, then compare the files.

    Args:
        history: None: nothing was trained, and there are no curves.
        teacher_layers: see ``models.store.StoredModel``.
    Raises:
        UserError: the stored weights and the shipped file do not give the same log-probabilities.
    """
    save_model(folder, model, tokens, teacher_layers)
    export_model(folder / MODEL, model, name=name, tokens=tokens, lineage=lineage)
    if history is not None:
        write_history(folder / HISTORY, history)
    write_json(folder / SUMMARY, summary)
    check_parity(folder)
