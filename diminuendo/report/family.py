"""What the family looks like to a reader: each member's technique in two or three words, and the tree of chains."""

from __future__ import annotations

from diminuendo.compression.registry import description_of
from diminuendo.config.names import TEACHER
from diminuendo.parameters.schema import Params


def technique_in_words(params: Params, name: str) -> str:
    """A member's own technique, such as ``prune 60 %`` or ``int4 weights (quantization-aware)``."""
    stage, settings = params.members[name]
    return TEACHER if name == TEACHER else description_of(stage).in_words(settings)


def chain_text(params: Params, name: str) -> str:
    """The techniques from the teacher to this member: ``teacher → distil → int4 weights``."""
    return " → ".join(technique_in_words(params, link) for link in params.chain_of(name))


def draw_family(params: Params) -> str:
    """The family as a tree, every member below the one that it is made from."""
    children: dict[str, list[str]] = {name: [] for name in params.members}
    for name in params.members:
        if (parent := params.parent_of(name)) is not None:
            children[parent].append(name)
    lines: list[tuple[str, str]] = []

    def visit(name: str, lead: str, branch: str) -> None:
        stage, _ = params.members[name]
        begun = params.teacher.pretrained
        made = f"{stage} from {begun.source}" if begun is not None else stage
        lines.append((f"{lead}{branch}{name}", technique_in_words(params, name) if name != TEACHER else made))
        below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for child in children[name]:
            visit(child, below, "└─ " if child == children[name][-1] else "├─ ")

    visit(TEACHER, "", "")
    width = max(len(left) for left, _ in lines)
    count = f"{len(lines)} members; every path from the top is a chain"
    return "\n".join([*(f"{left:<{width}}  {right}" for left, right in lines), count])
