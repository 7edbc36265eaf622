"""Store a member's weights, or run its products, in fewer bits."""

from __future__ import annotations

import sys

from stages.context import stage_context


def main() -> None:
    member = sys.argv[1]
    with stage_context("quantize", member) as context:
        summary = (
            _fine_tune(context, member) if context.settings.quantization_aware else _post_training(context, member)
        )
        from diminuendo.core.files import write_json

        write_json(context.out / "summary.json", summary)
        context.track.summary({key: value for key, value in summary.items() if key not in ("left_out", "bits")})


def _post_training(context, member: str) -> dict:
    import onnx

    from diminuendo.artifact.onnx_file import MODEL
    from diminuendo.compression.quantization.post_training import (
        NOMINAL_BITS,
        calibration_audio,
        finish,
        quantize_post_training,
    )

    source, settings, audio = context.parent / MODEL, context.settings, []
    keys = {"name": member, "lineage": context.lineage()}
    if settings.scheme == "mixed":
        from diminuendo.compression.quantization.storage import store_by_choice

        choice, more = _mixed(context, member)
        model = store_by_choice(onnx.load(source), choice)
        return finish(context.out / MODEL, model, onnx.load(source), nominal=more["mean_bits"], **keys) | more
    if settings.scheme == "int8_static":
        audio = calibration_audio(context.corpus, settings.calibration_utterances, context.params.seed)
    model = quantize_post_training(source, settings, audio)
    return finish(context.out / MODEL, model, onnx.load(source), nominal=NOMINAL_BITS[settings.scheme], **keys)


def _mixed(context, member: str) -> tuple:
    """How every weight is stored within the budget, and what ``summary.json`` says of it."""
    import onnx

    from diminuendo.artifact.onnx_file import MODEL
    from diminuendo.compression.quantization.figure import draw_sensitivity
    from diminuendo.compression.quantization.mixed import choose
    from diminuendo.compression.quantization.post_training import calibration_audio
    from diminuendo.compression.quantization.sensitivity import SENSITIVITY, write_sensitivity

    audio = calibration_audio(context.corpus, context.settings.calibration_utterances, context.params.seed)
    parent = onnx.load(context.parent / MODEL)
    choice, harms, more = choose(parent, context.settings, audio, context.work, name=member, lineage=context.lineage())
    write_sensitivity(context.out / SENSITIVITY, harms, more["bits"])
    context.track.artifact(context.out / SENSITIVITY)
    draw_sensitivity(context.work / "sensitivity.png", harms, more["bits"])
    context.track.artifact(context.work / "sensitivity.png")
    return choice, more


def _fine_tune(context, member: str) -> dict:
    from diminuendo.compression.quantization.post_training import NOMINAL_BITS
    from diminuendo.compression.quantization.quantization_aware import deliver_aware, put_on_grid
    from diminuendo.compression.quantization.storage import uniform
    from diminuendo.export.trained import HISTORY
    from diminuendo.models.store import load_model
    from diminuendo.training.trainer import train, write_history

    scheme, more = context.settings.scheme, {}
    if scheme == "mixed":
        choice, more = _mixed(context, member)
        nominal = more["mean_bits"]
    else:
        nominal = NOMINAL_BITS[scheme]
    parent = load_model(context.parent)
    if scheme != "mixed":
        output = f"{parent.model.structure().output}.weight"
        choice = uniform(nominal, context.settings.group_size, output=output)
    teacher = load_model(context.teacher).model if context.settings.losses.needs_teacher else None
    put_on_grid(parent.model, choice)
    history = train(
        parent.model,
        context.corpus,
        context.params.training_of(member),
        context.settings.losses,
        seed=context.params.seed,
        work=context.work,
        teacher=teacher,
        tracker=context.track,
        name=member,
    )
    write_history(context.out / HISTORY, history)
    keys = {"name": member, "tokens": parent.tokens, "lineage": context.lineage(), "nominal": nominal}
    summary = deliver_aware(context.out, parent.model, choice, budget=context.settings.budget, **keys)
    return summary | {f"{key}_untrained" if key.startswith("kl") else key: value for key, value in more.items()}


if __name__ == "__main__":
    main()
