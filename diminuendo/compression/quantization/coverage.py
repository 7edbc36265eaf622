"""Which part of a model is really in few bits: read from the stored file, not from what was asked for.

The arithmetic is counted by running the parent once: multiply-accumulates of every product over ten seconds of audio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact import packed
from diminuendo.artifact.banks import CODES, SCALES, SIZES, STORED_NAME, VECTORS
from diminuendo.artifact.outside import bytes_in_files
from diminuendo.artifact.session import open_session
from diminuendo.artifact.stored_names import PACKED_NAME
from diminuendo.artifact.tensors import is_outside, size_of
from diminuendo.artifact.weight_graph import (
    BITS,
    CONSTANT,
    FRONTEND,
    INT64,
    PRODUCTS,
    SHORT_CONSTANT_PREFIX,
    UINT8,
    WeightGraph,
    all_nodes,
    inner_graphs,
)
from diminuendo.export.check import probe

SECONDS = 10.0
TOKENS = 32  # that a decoder writes of so much speech: 2.5 words a second, of 1.3 tokens each

ATTENTION = "Attention"  # the operator
FRONTEND_PRODUCTS, ATTENTION_PRODUCTS = "frontend", "attention scores and mixing"
DECODER_PRODUCTS = "decoder"
REASONS = {
    FRONTEND_PRODUCTS: "powers of a spectrum span more than eight bits can hold; its tables take no bytes",
    ATTENTION_PRODUCTS: "both factors are activations: there is no weight to store",
    DECODER_PRODUCTS: "a weight that rounding would cost much, or that would take more bytes with its scales",
    "convolutions": "a kernel is too short to share a four-bit scale, and integer convolutions are slow",
    "biases and norms": "a hundredth of the parameters; in eight bits they share steps with the scales",
    "output layer": "its rounding goes straight into the log-probabilities",
    "small weights": "scales would cost more bytes than they save",
}


@dataclass(frozen=True)
class ProductMacs:
    """Multiply-accumulates of one product over :data:`SECONDS` of audio; ``weight`` is None where none is stored."""

    weight: str | None
    group: str
    count: int


def count_macs(model: onnx.ModelProto, sample_rate: int) -> list[ProductMacs]:
    """Every product of a float32 model, the frontend's and attention's among them."""
    import onnxruntime

    nodes = [node for node in model.graph.node if node.op_type in (*PRODUCTS, ATTENTION)]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    loops = [inner for node in model.graph.node for inner in inner_graphs(node)]
    tokens = TOKENS if loops else 0
    initializers = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    values = dict.fromkeys(v for node in nodes for v in (node.output[0], *node.input[:2]) if v not in initializers)
    del watched.graph.output[:]
    for number, value in enumerate(values):  # shapes alone: of a large model the values would take a gigabyte
        watched.graph.node.append(helper.make_node("Shape", [value], [f"shape/{number}"]))
        watched.graph.output.append(helper.make_tensor_value_info(f"shape/{number}", INT64, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # ONNX Runtime infers a wrong width of Attention's output, and warns of it
    session = open_session(watched, options)
    waveform = probe(sample_rate, SECONDS)[:1]
    feeds = {"waveform": waveform, "waveform_lengths": np.array([waveform.shape[1]])}
    found = session.run(None, feeds | ({"max_tokens": np.array(1)} if tokens else {}))
    shapes = initializers | {value: tuple(shape.tolist()) for value, shape in zip(values, found)}

    output = WeightGraph(model).output_weight()
    macs = []
    for node in nodes:
        size = int(np.prod(shapes[node.output[0]]))
        weight = node.input[1] if node.input[1] in initializers else None
        if node.name.startswith(FRONTEND):
            group = FRONTEND_PRODUCTS
        elif weight is not None and weight == output:
            group = "output layer"
        elif weight is None:
            group = ATTENTION_PRODUCTS
        else:
            group = "convolutions" if node.op_type == "Conv" else "linear layers"
        if node.op_type == "Conv":
            inner = np.prod(shapes[node.input[1]][1:])
        elif node.op_type == ATTENTION:  # every query with every key, and every value with the weight of each
            inner = 2 * shapes[node.input[1]][1]
        else:
            inner = shapes[node.input[0]][-1]
        macs.append(ProductMacs(None if group == FRONTEND_PRODUCTS else weight, group, size * int(inner)))
    for node in (node for loop in loops for node in all_nodes(loop)):
        if node.op_type in PRODUCTS and node.input[1] in initializers:  # a row for each token
            weight = node.input[1]
            macs.append(ProductMacs(weight, DECODER_PRODUCTS, tokens * int(np.prod(initializers[weight]))))
    return macs


def stored_bits(model: onnx.ModelProto, names: Mapping[str, str]) -> dict[str, int]:
    """Bits of the parameters of a stored file: of the tensor that each is decoded from.

    Args:
        names: every parameter's name to the one that it has in the file, if it was shortened.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {value: node for node in model.graph.node for value in node.output}
    found = {}
    for name, value in names.items():
        while value in made_by:
            value = made_by[value].input[0]  # a node that decodes has the codes as its first input
        if value in tensors and (whole := PACKED_NAME.fullmatch(value)):
            found[name] = int(whole[1])
        elif value in tensors and tensors[value].data_type in BITS:
            planes = tensors[value].data_type == UINT8 and STORED_NAME.fullmatch(value)
            found[name] = tensors[value].dims[0] if planes else BITS[tensors[value].data_type]
    return found


def multiplied_as_stored(
    parent: onnx.ModelProto, model: onnx.ModelProto, names: Mapping[str, str]
) -> tuple[dict[str, str], set[str]]:
    """Names of parameters to those of the codes that products read without decoding them, and the parameters among
    them that are multiplied in integers.
    """
    made_by = {value: node for node in all_nodes(model.graph) for value in node.output}
    found, integer = {}, set()
    for node in all_nodes(parent.graph):
        if node.op_type not in PRODUCTS:
            continue
        product = made_by.get(names.get(node.output[0], node.output[0]))
        # The scales of a sum of integers; of a convolution's the bias and the order of its axes besides.
        around = ("Mul", "Cast", "Add", "Transpose") if node.op_type == "Conv" else ("Mul", "Cast")
        while product is not None and product.op_type in around:
            product = made_by.get(product.input[0])
        if product is None or product.op_type not in ("MatMulInteger", "MatMulNBits"):
            continue
        found[node.input[1]] = product.input[1]
        if product.op_type == "MatMulInteger" or _attribute(product, "accuracy_level") == packed.INTEGERS:
            integer.add(node.input[1])
    return found, integer


def _attribute(node: onnx.NodeProto, name: str) -> int | None:
    return next((given.i for given in node.attribute if given.name == name), None)


def static_integer_products(model: onnx.ModelProto) -> set[str]:
    """Names of the tensors of codes whose product ONNX Runtime does in integers, with scales that are fixed."""
    made_by = {value: node for node in model.graph.node for value in node.output}
    found = set()
    for node in model.graph.node:
        if node.op_type == "MatMul":
            factors = [made_by.get(value) for value in node.input]
            if all(factor is not None and factor.op_type == "DequantizeLinear" for factor in factors):
                found.add(factors[1].input[0])
    return found


def coverage(
    parent: onnx.ModelProto, model: onnx.ModelProto, names: Mapping[str, str], sample_rate: int, nominal: float
) -> dict:
    """Shares of the parameters and of the arithmetic by bits, and what was left out and why.

    Args:
        parent: the float32 model that ``model`` was made from.
        model: as it was read from its file.
        names: of values before their names were shortened to those in the file.
        nominal: bits of a weight that the scheme promises.
    """
    graph = WeightGraph(parent)
    sizes = {name: int(np.prod(graph.initializers[name].dims)) for name in graph.parameters()}
    # ONNX Runtime's tools give the codes a name of their own.
    as_stored, integer = multiplied_as_stored(parent, model, names)
    stored_as = {name: names.get(name + CODES, names.get(name, name)) for name in sizes} | as_stored
    bits = stored_bits(model, stored_as)
    if missing := sorted(set(sizes) - set(bits)):
        raise ValueError(f"parameters that the quantized file does not have: {', '.join(missing)}")
    macs = count_macs(parent, sample_rate)
    total, all_macs = sum(sizes.values()), sum(item.count for item in macs)
    codes = static_integer_products(model)
    integer |= {name for name, stored in stored_as.items() if stored in codes}
    macs_by_bits: Counter[int] = Counter()
    for item in macs:
        macs_by_bits[bits[item.weight] if item.weight else 32] += item.count
    sizes_by_bits: Counter[int] = Counter()
    for name, size in sizes.items():
        sizes_by_bits[bits[name]] += size
    size = bytes_in_files(model)
    ideal = sum(size * width for width, size in sizes_by_bits.items()) / 8
    return {
        "parameters": total,
        "parameters_share": _shares(sizes_by_bits, total),
        "multiply_accumulates_per_second": round(all_macs / SECONDS),
        "multiply_accumulates_share": _shares(macs_by_bits, all_macs),
        "multiply_accumulates_share_integer": round(sum(w.count for w in macs if w.weight in integer) / all_macs, 4),
        "bytes": size,
        "bytes_over_weights": round(size / ideal, 4),
        "bytes_over_nominal": round(8 * size / (total * nominal), 4),
        "nominal_bits": round(nominal, 4),
        "bytes_of": bytes_of(model),
        "left_out": _left_out(sizes, bits, macs, all_macs),
    }


def bytes_of(model: onnx.ModelProto) -> dict[str, int]:
    """Where the bytes of a stored file are; they add up to its size."""
    parts = Counter({"codes": 0, "scales, biases and norms": 0, "constants": 0})
    for tensor in model.graph.initializer:
        size = size_of(tensor) if is_outside(tensor) or tensor.HasField("raw_data") else 0
        head = STORED_NAME.fullmatch(tensor.name)
        weight = len(tensor.dims) > 1 and not tensor.name.startswith((FRONTEND, CONSTANT, SHORT_CONSTANT_PREFIX))
        if head and not tensor.name.startswith(VECTORS) and not tensor.name.endswith((SIZES, SCALES)):
            parts["codes"] += size
        elif head and not tensor.name.endswith(SIZES):
            parts["scales, biases and norms"] += size
        else:
            parts["codes" if weight else "constants"] += size
    parts["nodes"] = sum(node.ByteSize() for node in model.graph.node)
    parts["metadata"] = sum(prop.ByteSize() for prop in model.metadata_props)
    parts["names, shapes and headers"] = bytes_in_files(model) - parts.total()
    return dict(parts)


def _shares(counts: Counter[int], total: int) -> dict[str, float]:
    return {f"{bits}_bit": round(count / total, 4) for bits, count in sorted(counts.items())}


def _left_out(sizes: dict[str, int], bits: dict[str, int], macs: list[ProductMacs], all_macs: int) -> list[dict]:
    """Groups whose weights take more bits than the narrowest of the file, or that have no weights."""
    # Where bits were chosen one by one, a weight that got more of them was not left out.
    found = sorted(set(bits.values()))
    narrowest = 8 if len([width for width in found if width < 8]) > 1 else found[0]
    group_of = {item.weight: item.group for item in macs if item.weight}
    groups: dict[str, dict] = {}

    def group(name: str) -> dict:
        return groups.setdefault(name, {"group": name, "parameters": 0, "macs": 0, "bits": set()})

    for name, size in sizes.items():
        if bits[name] > narrowest:
            kind = group_of.get(name, "biases and norms")
            entry = group("small weights" if kind == "linear layers" else kind)
            entry["parameters"] += size
            entry["bits"].add(bits[name])
    for item in macs:
        if item.weight is None or bits[item.weight] > narrowest:
            entry = group("small weights" if item.group == "linear layers" else item.group)
            entry["macs"] += item.count
            entry["bits"] |= {32} if item.weight is None else set()
    total = sum(sizes.values())
    return [
        {
            "group": entry["group"],
            "bits": sorted(entry["bits"]),
            "parameters_share": round(entry["parameters"] / total, 4),
            "multiply_accumulates_share": round(entry["macs"] / all_macs, 4),
            "reason": REASONS[entry["group"]],
        }
        for entry in groups.values()
    ]
