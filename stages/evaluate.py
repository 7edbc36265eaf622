"""Score every member of the family from its stored file."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

from stages.room import room


def main() -> None:
    with room("evaluate") as r:
        from diminuendo.evaluation.family import evaluate_family

        for name in left_over(r.models, r.family.models):
            print(f"note: {r.family.models / name} is no member of {r.family.params} any more and is not evaluated")
        metrics = evaluate_family(r.models, r.corpus, r.params.evaluate, r.params.seed, r.out, earlier=r.output)
        timing = json.loads((r.out / "timing.json").read_text(encoding="utf-8"))["members"]
        for name, found in metrics["members"].items():
            figures = {key: found[key] for key in ("wer", "cer", "delta_wer", "bytes", "parameters", "sparsity")}
            figures["real_time_factor"] = timing[name]["1"]["real_time_factor"]
            r.track.model_metrics(found["digest"], figures)
        r.track.artifact(r.out / "metrics.json")
        r.track.artifact(r.out / "timing.json")


def left_over(members: Container[str], models: Path) -> list[str]:
    """Folders of members that were taken out of the parameters since: DVC leaves them where they are."""
    folders = (path.name for path in models.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(name for name in folders if name not in members)


if __name__ == "__main__":
    main()
