"""Score every member of the family from its stored file."""

from __future__ import annotations

from stages.room import room


def main() -> None:
    with room("evaluate") as r:
        from diminuendo.evaluation.family import evaluate_family

        metrics = evaluate_family(r.models, r.corpus, r.params.evaluate, r.params.seed, r.out, earlier=r.output)
        for found in metrics["members"].values():
            figures = {key: found[key] for key in ("wer", "cer", "delta_wer", "bytes", "parameters", "sparsity")}
            r.track.model_metrics(found["digest"], figures)
        r.track.summary({name: {"wer": found["wer"]} for name, found in metrics["members"].items()})
        r.track.artifact(r.out / "metrics.json")
        r.track.artifact(r.out / "timing.json")


if __name__ == "__main__":
    main()
