"""A technique of the tests' own, dropped into a copy of the project: the largest weights are brought down."""

from __future__ import annotations

import textwrap
from pathlib import Path

DOORS = {
    "__init__": "",
    "config": '''
        """What clipping is told."""

        from __future__ import annotations

        from diminuendo.compression.member import TrainedMember
        from diminuendo.config.base import OpenFraction


        class ClipConfig(TrainedMember):
            share: OpenFraction  # of the values of every weight, the largest, that are brought down to the next


        Config = ClipConfig
    ''',
    "technique": '''
        """Bring the largest values of every weight down, and fine-tune."""

        from __future__ import annotations

        from diminuendo.compression.technique import Job
        from diminuendo.training.schedule import Phase, Schedule


        def schedule(job: Job) -> Schedule:
            def clip(model):
                clipped = 0
                for weight in (parameter.data for parameter in model.parameters() if parameter.dim() > 1):
                    limit = weight.abs().flatten().quantile(1 - job.settings.share)
                    clipped += int((weight.abs() > limit).sum())
                    weight.clamp_(-limit, limit)
                return model, {"clipped": clipped}

            phase = Phase(job.training, job.seed, before=clip)
            return Schedule(job.parent_model(), (phase,), job.settings.losses, job.teacher_model())
    ''',
    "writing": '''
        """The files of a member."""

        from diminuendo.compression.writing import load, write

        __all__ = ["load", "write"]
    ''',
    "description": '''
        """How clipping is described to a reader."""

        from diminuendo.compression.description import Description

        DESCRIPTION = Description("Clipping of", "clipped", "#e69f00", "v", lambda own: f"clip {100 * own.share:g} %")
    ''',
}
SECTION = """\
  clip:
    foreach: ${clip}
    do:
      desc: Bring the largest weights down, and fine-tune
      cmd: python -m stages.member clip ${key}
      deps:
        - "models/${item.from}"
        - models/teacher
        - data/prepared
      params: [seed, training, "clip.${key}"]
      outs: ["models/${key}"]

"""
REGISTERED = '    "clip": "diminuendo.compression.clipping",\n'


def add_clipping(project: Path) -> None:
    """Its package, one line of the registry, one section of ``dvc.yaml``; what a member says is the caller's."""
    package = project / "diminuendo/compression/clipping"
    package.mkdir()
    for door, text in DOORS.items():
        (package / f"{door}.py").write_text(textwrap.dedent(text).lstrip())
    registry = project / "diminuendo/compression/registry.py"
    registry.write_text(_with(registry.read_text(), REGISTERED, before="}\nFAMILY_SECTIONS"))
    pipeline = project / "dvc.yaml"
    pipeline.write_text(_with(pipeline.read_text(), SECTION, before="  evaluate:\n"))


def _with(text: str, more: str, *, before: str) -> str:
    assert text.count(before) == 1
    return text.replace(before, more + before)
