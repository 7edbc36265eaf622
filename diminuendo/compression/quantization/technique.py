"""Fewer bits for weights or products; ``quantization_aware`` trains with fake quantization first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diminuendo.compression.technique import Job

if TYPE_CHECKING:  # post-training quantization must not wait seconds for torch
    from diminuendo.training.schedule import Schedule


def schedule(job: Job) -> Schedule | None:
    if not job.settings.quantization_aware:
        return None
    from diminuendo.artifact.onnx_file import MODEL, read_onnx
    from diminuendo.artifact.outer_products import products_outside
    from diminuendo.compression.quantization.bit_choice import choice_of
    from diminuendo.compression.quantization.equalisation import EqualisedGraph
    from diminuendo.compression.quantization.quantization_aware import insert_fake_quantization, load_stored
    from diminuendo.compression.teacher_layers import teacher_layers
    from diminuendo.training.schedule import Phase, Schedule

    decided, figures = {}, {}
    if job.settings.scheme == "mixed":
        from diminuendo.compression.quantization.mixed import mixed_bits

        found = mixed_bits(job)
        decided = {"bits": found.pop("bits")}
        # What rounding did before any training; what is left of it afterwards is not measured.
        figures = {f"{key}_untrained" if key.startswith("kl") else key: value for key, value in found.items()}
    teacher, model = job.teacher_model(), job.parent_model()
    graph = EqualisedGraph(read_onnx(job.parent / MODEL))
    load_stored(model, {name: graph.array(name) for name in graph.scalings})
    integers = products_outside(graph) if job.settings.integer_products else ()
    insert_fake_quantization(model, choice_of(job.settings, decided.get("bits"), model, integers))
    return Schedule(
        model,
        (Phase(job.training, job.seed),),
        job.settings.losses,
        teacher,
        teacher_layers(job, range(len(model.structure().layers))),
        job.teacher_tokens,
        decided=decided,
        figures=figures,
    )
