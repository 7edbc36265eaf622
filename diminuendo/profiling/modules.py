"""Which module of the model every node of a shipped file belongs to.

A node with a weight belongs to the module of that weight, and a node without to the module whose output it reads.
Everything before the first weight is the frontend. What a loop goes through is the decoder, where no weight says more.
Quantized files hold many weights in one tensor without their names;
there, all nodes with weights count as the encoder, or as the decoder's loop if they are in it.

The file is read and renamed as bytes (:mod:`~diminuendo.artifact.wire`): ONNX Runtime is all that a profile needs.
"""

from __future__ import annotations

import re

from diminuendo.artifact.stored_names import STORED_NAME
from diminuendo.artifact.wire import GRAPH, INITIALIZER, Content, Field, fields, header

FRONTEND, ENCODER, FRAMES = "frontend", "encoder", "lengths, masks, positions"
LOOP = "decoder's loop"  # what within it has no weight of its own
LAYOUT = "changes of layout"  # nodes that ONNX Runtime added
_MARK = re.compile(r"@([^@]*)@(\d+(?:\.\d+)*)")  # its module; its place, after that of the node whose graph it is in
_WEIGHT = re.compile(r"(.*\.\d+\.[^.]+|[a-zA-Z_]\w*)\.")  # up to the module of a numbered layer, or the first name

# Numbers of fields in onnx.proto: of a graph, a node, an attribute, a tensor, of what a graph says of its input.
_NODE, _INPUT = 1, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OPERATOR, _ATTRIBUTE = 1, 2, 3, 4, 5
_INNER_GRAPH = 6
_READ = (_NODE_INPUT, _NODE_OUTPUT, _OPERATOR)
_TENSOR_NAME, _VALUE_NAME = 8, 1

_Made = dict[str, tuple[str | None, bool]]  # for a value: its module, and whether it depends on the samples


def module_of_weight(name: str) -> str | None:
    """``layers.0.attention`` of ``layers.0.attention.query.weight``; None if it is not a weight."""
    if STORED_NAME.fullmatch(name):
        return ENCODER
    found = _WEIGHT.match(name)
    return found.group(1) if found else None


def mark_modules(content: Content) -> bytes:
    """A model in which every node is named after its module; :func:`module_of_node` reads that after optimisation.

    Args:
        content: the bytes of the ONNX file.

    Raises:
        ValueError: they are no message of protocol buffers.
    """
    pieces = []
    for field in fields(content, 0, len(content)):
        if field.number == GRAPH:
            graph = _marked_graph(content, field, {}, "")
            pieces += [header(GRAPH, sum(map(len, graph))), *graph]
        else:
            pieces.append(content[field.start : field.end])
    return b"".join(pieces)


def module_of_node(name: str) -> str:
    """The module in the name that ONNX Runtime gave to a node or to what it fused from several."""
    found = _MARK.search(name)
    return found.group(1) if found else LAYOUT


def place_of_node(name: str) -> str | None:
    """Where a node stands, such as ``7``, or ``7.3`` for one in the graph of a loop; None: ONNX Runtime added it."""
    found = _MARK.search(name)
    return found.group(2) if found else None


def _marked_graph(content: Content, graph: Field, outside: _Made, prefix: str) -> list[bytes]:
    """The fields of a graph, the nodes among them renamed; ``outside`` are the values around the graph of a loop."""
    own = list(fields(content, graph.begin, graph.end))
    made: _Made = dict(outside)
    for field in own:
        if field.number == INITIALIZER:
            name = _text(content, field, _TENSOR_NAME)
            made[name] = module_of_weight(name), False
    for field in own:
        if field.number == _INPUT:
            name = _text(content, field, _VALUE_NAME)
            made[name] = (LOOP, True) if prefix else (None, name == "waveform")
    pieces, count = [], 0
    for field in own:
        if field.number == _NODE:
            pieces.append(_marked_node(content, field, made, f"{prefix}{count}"))
            count += 1
        else:
            pieces.append(content[field.start : field.end])
    return pieces


def _marked_node(content: Content, node: Field, made: _Made, place: str) -> bytes:
    """One node under its new name, and those of its graphs; adds what it makes to ``made``."""
    own = [field for field in fields(content, node.begin, node.end) if field.number != _NODE_NAME]
    texts = {number: [_decoded(content, f) for f in own if f.number == number] for number in _READ}
    given = [made[name] for name in texts[_NODE_INPUT] if name]
    stored = next((module for module, sound in given if module and not sound), None)
    passed = next((module for module, sound in reversed(given) if module and sound), None)
    sound = texts[_OPERATOR] != ["Shape"] and any(sound for _, sound in given)
    module = (stored or passed or FRONTEND) if sound else stored  # the latter decodes a weight, or counts
    if module == ENCODER and "." in place:
        module = LOOP
    made |= {name: (module, sound) for name in texts[_NODE_OUTPUT]}
    name = f"@{module or FRAMES}@{place}".encode()
    kept = b"".join(_with_marked_graphs(content, field, made, f"{place}.") for field in own)
    renamed = kept + header(_NODE_NAME, len(name)) + name
    return header(_NODE, len(renamed)) + renamed


def _with_marked_graphs(content: Content, field: Field, made: _Made, prefix: str) -> bytes:
    """A field of a node, the graph in it marked if it is an attribute that has one."""
    if field.number != _ATTRIBUTE:
        return content[field.start : field.end]
    pieces = []
    for part in fields(content, field.begin, field.end):
        if part.number == _INNER_GRAPH:
            graph = _marked_graph(content, part, made, prefix)
            pieces += [header(_INNER_GRAPH, sum(map(len, graph))), *graph]
        else:
            pieces.append(content[part.start : part.end])
    return header(_ATTRIBUTE, sum(map(len, pieces))) + b"".join(pieces)


def _text(content: Content, message: Field, number: int) -> str:
    """The text in a message's field; empty if there is none."""
    found = (f for f in fields(content, message.begin, message.end) if f.number == number)
    return next((_decoded(content, field) for field in found), "")


def _decoded(content: Content, field: Field) -> str:
    return content[field.begin : field.end].decode()
