"""Every model that the parameters describe, built without its weights, and the memory that its training takes.

PyTorch's device ``meta`` has shapes and no numbers: what cannot be built is found within a second, and not after hours,
when the stage that builds it comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.models.record import ModelRecord
from diminuendo.parameters.schema import Params

MOST_PARAMETERS = 20e9
# Of float32 for each parameter: the weights, their gradient, two moments of AdamW, and the moving average.
COPIES = 5
# Values that a layer keeps for the way back, for each frame and unit of its width, beside the weights of attention: 40
# to 47 were measured on the Conformer of params.yaml, from the peak of the process.
KEPT = 48
TELL_FROM = 0.7  # share of this machine's memory


def construction_problems(
    params: Params, record_of: Callable[[str], ModelRecord | None], paths: dict[str, str]
) -> tuple[list[str], list[str]]:
    """What cannot be built or trained here, and notes on members that take most of the memory.

    Args:
        record_of: the record of a member, None where parameters and checkpoint do not tell it.
        paths: name of a member to its section of the parameters.
    """
    problems, notes, sizes = [], [], {}
    for name, (_, settings) in params.members.items():
        architecture = getattr(settings, "architecture", None)
        if architecture is None:
            continue
        about = getattr(architecture, "about_parameters", None)
        if about is not None and (guess := about(params.frontend, params.text.about_tokens)) > MOST_PARAMETERS:
            told = f"about {guess / 1e9:,.0f} thousand million parameters, expected at most {MOST_PARAMETERS / 1e9:.0f}"
            problems.append(f"{paths[name]}.architecture: {told}")
            continue
        try:
            record = record_of(name)
            if record is None:
                continue
            sizes[name] = _parameters(record)
        except (ModuleNotFoundError, KeyboardInterrupt):
            raise
        except UserError as error:
            problems.append(f"{paths[name]}.architecture: {error}")
            continue
        except Exception as error:  # whatever a constructor stumbles over
            told = f"{type(error).__name__}: {one_line(error)[:200]}"
            problems.append(f"{paths[name]}.architecture: such a model cannot be built ({told})")
            continue
        wrong, told = _memory(params, name, record, sizes[name], paths[name])
        problems += wrong
        notes += told
    return [*problems, *_too_many_left(params, sizes, paths)], notes


def _parameters(record: ModelRecord) -> int:
    import torch

    from diminuendo.models.registry import build

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(record).parameters())


def _memory(params: Params, name: str, record: Any, parameters: int, path: str) -> tuple[list[str], list[str]]:
    """Of a training on this machine's processor; of a GPU nothing is known before it is asked."""
    training, memory = params.training_of(name), memory_of_this_machine()
    if training.device != "cpu" or memory is None or not params.members[name][1].trains:
        return [], []
    seconds = max(training.batch_seconds, params.data.max_seconds)
    frames = seconds / record.frame_seconds
    width, layers = getattr(record, "width", 0), record.layer_count
    heads = max((getattr(layer, "heads", 0) for layer in getattr(record, "layers", ())), default=0)
    longest = params.data.max_seconds / record.frame_seconds
    states = layers * frames * (KEPT * width + 2 * heads * longest)
    needed = 4.0 * (COPIES * parameters + states)
    told = f"training takes about {needed / 1e9:.1f} GB of memory, and this machine has {memory / 1e9:.1f} GB"
    if 4.0 * COPIES * parameters > memory or needed > 4 * memory:
        return [f"{path}: {told}; make the model or training.batch_seconds smaller, or use another machine"], []
    return [], [f"{path}: {told}"] if needed > TELL_FROM * memory else []


def _too_many_left(params: Params, sizes: dict[str, int], paths: dict[str, str]) -> list[str]:
    """Members that shall keep more parameters than their parents have."""
    problems = []
    for name, (_, settings) in params.members.items():
        wanted = getattr(getattr(settings, "structured", None), "parameters", None)
        there = sizes.get(getattr(settings, "parent", ""))
        if wanted is not None and there is not None and wanted >= 1 and wanted >= there:
            problems.append(
                f"{paths[name]}.structured.parameters: {wanted:.0f}, and {settings.parent} has about {there:,}; "
                "give fewer, or a share below 1"
            )
    return problems


def memory_of_this_machine() -> float | None:
    """Bytes; None where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None
