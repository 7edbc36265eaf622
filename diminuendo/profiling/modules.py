"""Which module of the model every node of a shipped file belongs to.

A node with a weight belongs to the module of that weight, and a node without to the module whose output it reads.
Everything before the first weight is the frontend. Quantized files hold many weights in one tensor without their names;
there, all nodes with weights count as the encoder.
"""

from __future__ import annotations

import re

import onnx

from diminuendo.artifact.banks import STORED_NAME

FRONTEND, ENCODER, FRAMES = "frontend", "encoder", "lengths, masks, positions"
LAYOUT = "changes of layout"  # nodes that ONNX Runtime added
_MARK = re.compile("@([^@]*)@")
_WEIGHT = re.compile(r"(.*\.\d+\.[^.]+|[a-zA-Z_]\w*)\.")  # up to the module of a numbered layer, or the first name


def module_of_weight(name: str) -> str | None:
    """``layers.0.attention`` of ``layers.0.attention.query.weight``; None if it is not a weight."""
    if STORED_NAME.fullmatch(name):
        return ENCODER
    found = _WEIGHT.match(name)
    return found.group(1) if found else None


def mark_modules(model: onnx.ModelProto) -> None:
    """Name every node after its module, in place; :func:`module_of_node` reads that name after optimisation."""
    weights = {tensor.name: module_of_weight(tensor.name) for tensor in model.graph.initializer}
    # For every value: its module, and whether it depends on the samples and not only on their number.
    made: dict[str, tuple[str | None, bool]] = {name: (module, False) for name, module in weights.items()}
    made |= {value.name: (None, value.name == "waveform") for value in model.graph.input}
    for index, node in enumerate(model.graph.node):
        given = [made[name] for name in node.input if name]
        stored = next((module for module, sound in given if module and not sound), None)
        passed = next((module for module, sound in reversed(given) if module and sound), None)
        sound = node.op_type != "Shape" and any(sound for _, sound in given)
        if sound:
            module = stored or passed or FRONTEND
        else:
            module = stored  # decodes a weight, or counts
        for name in node.output:
            made[name] = module, sound
        node.name = f"@{module or FRAMES}@{index}"


def module_of_node(name: str) -> str:
    """The module in the name that ONNX Runtime gave to a node or to what it fused from several."""
    found = _MARK.search(name)
    return found.group(1) if found else LAYOUT
