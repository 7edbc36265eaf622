"""Store a member's weights, or run its products, in fewer bits."""

from __future__ import annotations

import sys

from stages.room import room


def main() -> None:
    member = sys.argv[1]
    with room("quantize", member) as r:
        summary = _fine_tune(r, member) if r.settings.aware else _post_training(r, member)
        from diminuendo.files import write_json

        write_json(r.out / "summary.json", summary)
        r.track.summary({key: value for key, value in summary.items() if key != "left_out"})


def _post_training(r, member: str) -> dict:
    import onnx

    from diminuendo.export.onnx_file import MODEL
    from diminuendo.quantization.post_training import calibration_audio, finish, quantize_post_training

    source, settings, audio = r.parent / MODEL, r.settings, []
    if settings.scheme == "int8_static":
        audio = calibration_audio(r.corpus, settings.calibration_utterances, r.params.seed)
    model = quantize_post_training(source, settings, audio)
    return finish(r.out / MODEL, model, onnx.load(source), name=member, lineage=r.lineage())


def _fine_tune(r, member: str) -> dict:
    from diminuendo.export.trained import HISTORY
    from diminuendo.models.store import load_model
    from diminuendo.quantization.aware import deliver_aware, put_on_grid
    from diminuendo.training.trainer import train, write_history

    parent = load_model(r.parent)
    teacher = load_model(r.teacher).model if r.settings.losses.needs_teacher else None
    put_on_grid(parent.model, r.settings)
    history = train(
        parent.model,
        r.corpus,
        r.params.training_of(member),
        r.settings.losses,
        seed=r.params.seed,
        work=r.work,
        teacher=teacher,
        tracker=r.track,
        name=member,
    )
    write_history(r.out / HISTORY, history)
    return deliver_aware(r.out, parent.model, r.settings, name=member, tokens=parent.tokens, lineage=r.lineage())


if __name__ == "__main__":
    main()
