"""Score every member of the family from its stored file."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

from diminuendo.core.plain_text import echo
from stages.context import stage_context

RATES = ("wer", "delta_wer", "cer", "delta_cer")
RAW = tuple(f"raw_{rate}" for rate in RATES)  # only where there is a normaliser
SPEED = ("real_time_factor", "latency_p50", "latency_p99")
FIGURES = (*RATES, *RAW, "bytes", "parameters", "sparsity")


def main() -> None:
    with stage_context("evaluate") as context:
        from diminuendo.evaluation.family import evaluate_family

        for name in left_over(context.models, context.family.models):
            folder, params = context.family.models / name, context.family.params
            echo(f"note: {folder} is no member of {params} any more and is not evaluated")
        metrics = evaluate_family(
            context.models,
            context.corpus,
            context.params.evaluate,
            context.params.seed,
            context.out,
            earlier=context.output,
            # Not the fingerprint's own: hypotheses know what they depend on, and outlive a change of other settings.
            work=context.work.parent / "decoded",
        )
        timing = json.loads((context.out / "timing.json").read_text(encoding="utf-8"))["members"]
        for name, found in metrics["members"].items():
            figures = {key: found[key] for key in FIGURES if key in found}
            figures |= found["headline"]
            figures |= {key: timing[name]["1"][key] for key in SPEED}
            context.track.model_metrics(found["digest"], figures)
        context.track.artifact(context.out / "metrics.json")
        context.track.artifact(context.out / "timing.json")


def left_over(members: Container[str], models: Path) -> list[str]:
    """Folders of members that were taken out of the parameters since: DVC leaves them where they are."""
    folders = (path.name for path in models.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(name for name in folders if name not in members)


if __name__ == "__main__":
    main()
