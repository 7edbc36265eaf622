"""What the family looks like to a reader: each member's technique in two or three words, and the tree of chains."""

from __future__ import annotations

from diminuendo.config.schema import (
    TEACHER,
    CompressArchitectureConfig,
    DistillConfig,
    Params,
    PruneConfig,
    QuantizeConfig,
)

SCHEMES = {
    "fp16": "fp16",
    "int8_dynamic": "int8 dynamic",
    "int8_static": "int8 static",
    "int8_weight": "int8 weights",
    "int4_weight": "int4 weights",
    "mixed": "mixed bits",
}


def technique_of(params: Params, name: str) -> str:
    """A member's own technique, such as ``prune 60 %`` or ``int4 weights (aware)``."""
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
            return "prune structure"
        case QuantizeConfig():
            return SCHEMES[settings.scheme] + (" (aware)" if settings.aware else "")
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
