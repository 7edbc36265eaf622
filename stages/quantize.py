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
        r.track.summary({key: value for key, value in summary.items() if key not in ("left_out", "bits")})


def _post_training(r, member: str) -> dict:
    import onnx

    from diminuendo.export.onnx_file import MODEL
    from diminuendo.quantization.post_training import NOMINAL_BITS, calibration_audio, finish, quantize_post_training

    source, settings, audio = r.parent / MODEL, r.settings, []
    keys = {"name": member, "lineage": r.lineage()}
    if settings.scheme == "mixed":
        from diminuendo.quantization.storage import store_by_choice

        choice, more = _mixed(r, member)
        model = store_by_choice(onnx.load(source), choice)
        return finish(r.out / MODEL, model, onnx.load(source), nominal=more["mean_bits"], **keys) | more
    if settings.scheme == "int8_static":
        audio = calibration_audio(r.corpus, settings.calibration_utterances, r.params.seed)
    model = quantize_post_training(source, settings, audio)
    return finish(r.out / MODEL, model, onnx.load(source), nominal=NOMINAL_BITS[settings.scheme], **keys)


def _mixed(r, member: str) -> tuple:
    """How every weight is stored within the budget, and what ``summary.json`` says of it."""
    import onnx

    from diminuendo.export.onnx_file import MODEL
    from diminuendo.quantization.figure import draw_sensitivity
    from diminuendo.quantization.mixed import choose
    from diminuendo.quantization.post_training import calibration_audio
    from diminuendo.quantization.sensitivity import SENSITIVITY, write_sensitivity

    audio = calibration_audio(r.corpus, r.settings.calibration_utterances, r.params.seed)
    parent = onnx.load(r.parent / MODEL)
    choice, harms, more = choose(parent, r.settings, audio, r.work, name=member, lineage=r.lineage())
    write_sensitivity(r.out / SENSITIVITY, harms, more["bits"])
    r.track.artifact(r.out / SENSITIVITY)
    draw_sensitivity(r.work / "sensitivity.png", harms, more["bits"])
    r.track.artifact(r.work / "sensitivity.png")
    return choice, more


def _fine_tune(r, member: str) -> dict:
    from diminuendo.export.trained import HISTORY
    from diminuendo.models.store import load_model
    from diminuendo.quantization.aware import deliver_aware, put_on_grid
    from diminuendo.quantization.post_training import NOMINAL_BITS
    from diminuendo.quantization.storage import uniform
    from diminuendo.training.trainer import train, write_history

    scheme, more = r.settings.scheme, {}
    if scheme == "mixed":
        choice, more = _mixed(r, member)
        nominal = more["mean_bits"]
    else:
        nominal = NOMINAL_BITS[scheme]
        choice = uniform(nominal, r.settings.group_size)
    parent = load_model(r.parent)
    teacher = load_model(r.teacher).model if r.settings.losses.needs_teacher else None
    put_on_grid(parent.model, choice)
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
    keys = {"name": member, "tokens": parent.tokens, "lineage": r.lineage(), "nominal": nominal}
    summary = deliver_aware(r.out, parent.model, choice, budget=r.settings.budget, **keys)
    return summary | {f"{key}_untrained" if key.startswith("kl") else key: value for key, value in more.items()}


if __name__ == "__main__":
    main()
