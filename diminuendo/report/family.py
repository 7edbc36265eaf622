"""What the family looks like to a reader: each member's technique in two or three words, and the tree of chains."""

from __future__ import annotations

from diminuendo.compression.architecture.config import CompressArchitectureConfig
from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.pruning.config import PruneConfig, StructuredConfig
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.config.names import TEACHER
from diminuendo.parameters.schema import Params
from diminuendo.report.format import size

SCHEMES = {
    "fp16": "fp16",
    "int8_dynamic": "int8 dynamic",
    "int8_static": "int8 static",
    "int8_weight": "int8 weights",
    "int4_weight": "int4 weights",
}


def _pruned(structured: StructuredConfig) -> str:
    """What is left, or that kinds have their own shares."""
    if structured.latency is not None:
        return f"prune to {100 * structured.latency:g} % of the time"
    match structured.parameters:
        case None:
            return "prune structure"
        case share if share < 1:
            return f"prune to {100 * share:g} %"
        case count:
            return f"prune to {count:,.0f} parameters"


def _quantized(settings: QuantizeConfig) -> str:
    if settings.budget is None:
        text = SCHEMES[settings.scheme]
    elif settings.budget.bits is not None:
        text = f"mixed {settings.budget.bits:g} bits"
    elif settings.budget.bytes is not None:
        text = f"mixed bits, {size(settings.budget.bytes)}"
    else:
        text = f"mixed bits, {settings.budget.kl:g} nats"
    return text + (" (quantization-aware)" if settings.quantization_aware else "")


def technique_of(params: Params, name: str) -> str:
    """A member's own technique, such as ``prune 60 %`` or ``int4 weights (quantization-aware)``."""
    settings = params.members[name][1]
    match settings:
        case DistillConfig():
            return "distil" if settings.losses.needs_teacher or settings.initialise == "teacher" else "train alone"
        case CompressArchitectureConfig():
            parts = []
            if settings.remove_layers:
                parts.append(f"−{settings.remove_layers.count} layers")
            if settings.low_rank:
                rank = settings.low_rank
                kept = f"{rank.energy:.4g} energy" if rank.energy is not None else f"{100 * rank.budget:g} %"
                parts.append(f"low rank {kept}")
            return ", ".join(parts)
        case PruneConfig():
            if settings.magnitude:
                return f"sparse {100 * settings.magnitude.sparsity:g} %"
            return _pruned(settings.structured)
        case QuantizeConfig():
            return _quantized(settings)
        case _:
            return TEACHER


def chain_text(params: Params, name: str) -> str:
    """The techniques from the teacher to this member: ``teacher → distil → int4 weights``."""
    return " → ".join(technique_of(params, link) for link in params.chain_of(name))


def draw_family(params: Params) -> str:
    """The family as a tree, every member below the one that it is made from."""
    children: dict[str, list[str]] = {name: [] for name in params.members}
    for name in params.members:
        if (parent := params.parent_of(name)) is not None:
            children[parent].append(name)
    lines: list[tuple[str, str]] = []

    def visit(name: str, lead: str, branch: str) -> None:
        stage, _ = params.members[name]
        lines.append((f"{lead}{branch}{name}", technique_of(params, name) if name != TEACHER else stage))
        below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for child in children[name]:
            visit(child, below, "└─ " if child == children[name][-1] else "├─ ")

    visit(TEACHER, "", "")
    width = max(len(left) for left, _ in lines)
    count = f"{len(lines)} members; every path from the top is a chain"
    return "\n".join([*(f"{left:<{width}}  {right}" for left, right in lines), count])
