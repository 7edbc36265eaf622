"""What a stage leaves besides its output: the record beside it, and what MLflow is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from diminuendo.artifact import lineage
from diminuendo.provenance.descent import descent_of
from diminuendo.provenance.picture import write_pictures
from diminuendo.provenance.store import scope_tags

if TYPE_CHECKING:
    from stages.stage import StageContext


def inputs_of(context: StageContext) -> dict[str, str]:
    """Tag to digest of everything the stage reads."""
    found = {"code": context.code, **scope_tags(context.scope)}
    found |= {f"input.{name}": digest for name, digest in context.parents.items()}
    if context.checkpoint is not None:
        found["input.checkpoint"] = lineage.digest_of_checkpoint(context.checkpoint)
    return found if context.stage == "prepare" else {**found, "input.corpus": context.corpus_digest}


def finish(context: StageContext) -> None:
    """Write the record into ``context.out``, and tell the run what came out."""
    if not any(context.out.iterdir()):
        raise RuntimeError(f"stage {context.stage} left {context.out} empty")
    if context.makes_model:
        whole = lineage.write_record(context.out, context.lineage())
        files = whole["files"]
        for name in (lineage.RECORD, "summary.json", "history.csv"):
            if (context.out / name).exists():
                context.track.artifact(context.out / name)
        for path in write_pictures(descent_of(whole, files[lineage.MODEL]), context.work):
            context.track.artifact(path)
        context.track.output(files[lineage.MODEL])
        context.track.model(context.out / lineage.MODEL, files[lineage.MODEL])
    elif context.stage != "prepare":
        whole = lineage.write_record(context.out, context.lineage())
        if context.is_label:
            context.track.output(whole["files"][lineage.LABELS])
            context.track.artifact(context.out / lineage.RECORD)
    elif (corpus := context.out / "corpus.json").exists():
        context.track.output(json.loads(corpus.read_text(encoding="utf-8"))["digest"])
        context.track.artifact(corpus)
