"""A shipped file for runtimes that do not know its operators: the same function in those of an earlier opset.

Attention and rotary positions, which opset 23 brought, become the operators that ONNX defines them by; codes of four
bits become planes of bits, as those of three and five are. Everything else is in the opsets already.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, inliner

from diminuendo.artifact.banks import CODES, SIZES, STORED_NAME, ints, unpacked
from diminuendo.artifact.codec import pack_planes
from diminuendo.artifact.lineage import CONVERTED
from diminuendo.artifact.onnx_file import PREFIX, replace_metadata
from diminuendo.artifact.tensors import copy_of, is_outside
from diminuendo.artifact.weight_graph import INT4, WeightGraph, shorten_names
from diminuendo.core.errors import UserError

OPSETS = {18: 8, 19: 9, 20: 9, 21: 10, 22: 10}  # to the version of the format that came with it
WITH_INT4 = 21  # the first opset that knows them


def convert(model: onnx.ModelProto, opset: int, digest: str) -> onnx.ModelProto:
    """The model in the operators of ``opset``, with ``digest``, its own file's, in the metadata.

    Raises:
        UserError: the model has weights in a file of its own, or operators that the opset cannot say.
    """
    if any(map(is_outside, model.graph.initializer)):
        raise UserError("weights in a file of their own are not converted; quantize the model below 2 GB first")
    found = copy_of(model)
    if opset < WITH_INT4:
        found = _without_int4(found)
    strange = {node.op_type for node in found.graph.node if not node.domain and not _knows(node.op_type, opset)}
    if strange:
        found = inliner.inline_selected_functions(found, [("", name) for name in sorted(strange)], False, True)
    _drop_unread(found.graph)
    del found.opset_import[:]
    found.opset_import.append(helper.make_opsetid("", opset))
    found.ir_version = OPSETS[opset]
    shorten_names(found, STORED_NAME)
    replace_metadata(found, **{CONVERTED.removeprefix(PREFIX): digest})
    try:
        onnx.checker.check_model(found, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UserError(f"opset {opset} cannot say this model: {str(error).splitlines()[0]}") from None
    return found


def _knows(operator: str, opset: int) -> bool:
    try:
        onnx.defs.get_schema(operator, opset)
    except onnx.defs.SchemaError:
        return False
    return True


def _without_int4(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with codes of four bits in planes, which are decoded to float32 at once."""
    graph = WeightGraph(model)
    nodes = []
    for node in model.graph.node:
        tensor = graph.initializers.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None or tensor.data_type != INT4:
            nodes.append(node)
            continue
        codes, stem = graph.array(tensor.name).astype(np.int8), tensor.name.removesuffix(CODES)
        graph.remove(tensor.name)
        planes = pack_planes(codes, 4)
        graph.add(stem + CODES, planes[..., None])
        if stem + SIZES not in graph.initializers:  # it tells padding of the last byte from codes
            ints(graph, [codes.size], stem + SIZES)
        whole = unpacked(graph, stem, *planes.shape)
        flat = graph.prepend("Slice", [whole, ints(graph, [0]), ints(graph, [codes.size])], f"{stem}/flat")
        graph.prepend("Reshape", [flat, ints(graph, codes.shape)], node.output[0])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return graph.finish()


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Take out, in place, what nobody reads: definitions of operators hold parts for inputs that are not given."""
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            read.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
