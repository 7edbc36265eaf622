"""Ways in which a model file of a stranger may be wrong; see ``hostile_models``."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from diminuendo.artifact.checksum import KEY, UNSEALED, seal_of

ODD_TEXTS = [
    "",
    "x",
    "nan",
    "inf",
    "-1",
    "0",
    "1e308",
    "1e-300",
    "10" * 20,
    "9" * 5000,
    "null",
    "[]",
    "{}",
    "[1]",
    "true",
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "\u202e",
    "[" * 3000,
    '{"a":' * 3000,
    "NaN",
    '"x"',
    "\u0000",
    "é" * 300,
    "１６０００",
]
ODD_VALUES = [
    None,
    True,
    -1,
    0,
    1e308,
    10**40,
    "",
    "x",
    "\x1b[2J",
    [],
    [1],
    {},
    {"a": 1},
    [[[[]]]],
    "../../../etc/passwd",
]
ODD_SIZES = [0, 1, -1, 7, 2**31 - 1, 2**40, 10**12, -(2**63)]
OPERATORS = [
    "Add",
    "MatMul",
    "Conv",
    "Reshape",
    "Expand",
    "Tile",
    "Gather",
    "Softmax",
    "Loop",
    "Identity",
    "Pad",
    "NoSuch",
]


def mutation(model: Path, rng: random.Random) -> Callable[[Path], str]:
    """One change of a file, drawn by ``rng``: a function that writes it and says what it did."""
    content = model.read_bytes()
    kind = rng.choice([*2 * [_bytes, _metadata, _lineage, _graph], _tensor, _bomb, _diamonds])
    return lambda path: kind(content, path, rng)


def _bytes(content: bytes, path: Path, rng: random.Random) -> str:
    found = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        at, how = rng.randrange(len(found)), rng.randrange(5)
        if rng.random() < 0.5:  # near the beginning or the end, where the structure is
            at = (
                min(len(found) - 1, rng.randrange(4000))
                if rng.random() < 0.5
                else max(0, len(found) - rng.randrange(1, 8000))
            )
        if how == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            found[at : at + rng.randrange(1, 64)] = rng.randbytes(rng.randrange(64))
        elif how == 2:
            del found[at : at + rng.randrange(1, 5000)]
        elif how == 3:
            del found[at:]
        else:
            found[at:at] = found[max(0, at - 300) : at]
        if not found:
            found = bytearray(b"\x08")
    path.write_bytes(found)
    return "bytes" + _sealed_again(path, rng)


def _metadata(content: bytes, path: Path, rng: random.Random) -> str:
    model = onnx.load_from_string(content)
    prop = rng.choice(list(model.metadata_props))
    if rng.random() < 0.15:
        model.metadata_props.remove(prop)
        return f"no {prop.key}" + _write(model, path, rng)
    prop.value = rng.choice(ODD_TEXTS)
    return f"{prop.key} = {prop.value[:20]!a}" + _write(model, path, rng)


def _lineage(content: bytes, path: Path, rng: random.Random) -> str:
    model = onnx.load_from_string(content)
    prop = next(prop for prop in model.metadata_props if prop.key == "diminuendo.lineage")
    record = json.loads(prop.value)
    at: Any = record
    place = []
    while True:
        key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
        place.append(str(key))
        inner = at[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.4:
            break
        at = inner
    if rng.random() < 0.2 and isinstance(at, dict):
        del at[key]
    else:
        at[key] = rng.choice(ODD_VALUES)
    prop.value = json.dumps(record)
    return f"lineage.{'.'.join(place)[:60]}" + _write(model, path, rng)


def _graph(content: bytes, path: Path, rng: random.Random) -> str:
    model = onnx.load_from_string(content)
    graph = model.graph
    for _ in range(rng.randint(1, 3)):
        node, how = rng.choice(list(graph.node)), rng.randrange(6)
        if how == 0:
            node.op_type = rng.choice(OPERATORS)
        elif how == 1 and node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(
                [*(n for o in graph.node for n in o.output), "", "gone"]
            )
        elif how == 2 and node.attribute:
            attribute = rng.choice(list(node.attribute))
            attribute.i = rng.choice(ODD_SIZES)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(ODD_SIZES)
        elif how == 3:
            graph.node.remove(node)
        elif how == 4:
            graph.node.append(node)
        else:
            name = rng.choice([*graph.input, *graph.output])
            name.name = rng.choice(["waveform", "lengths", "log_probs", "x"])
    return "graph" + _write(model, path, rng)


def _tensor(content: bytes, path: Path, rng: random.Random) -> str:
    model = onnx.load_from_string(content)
    tensor = rng.choice(list(model.graph.initializer))
    how = rng.randrange(5)
    if how == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(ODD_SIZES)
    elif how == 1:
        tensor.data_type = rng.choice([0, 1, 2, 3, 7, 8, 10, 16, 21, 99])
    elif how == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif how == 3:
        tensor.raw_data = rng.randbytes(len(tensor.raw_data))
    else:
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = (
            "location",
            rng.choice(["/etc/passwd", "../x", "/dev/zero", "model.data", "\x00", "a" * 5000]),
        )
    return f"tensor {tensor.name[:30]}" + _write(model, path, rng)


def _bomb(content: bytes, path: Path, rng: random.Random) -> str:
    """Nodes that ask for more than any machine has, folded when the file is opened or run with the audio."""
    model = onnx.load_from_string(content)
    graph, size = model.graph, rng.choice([10**8, 10**10, 10**12])
    kind = rng.choice(["ConstantOfShape", "Expand", "Range", "outer", "Tile", "Loop"])
    make = helper.make_node
    if kind == "ConstantOfShape":
        graph.initializer.append(numpy_helper.from_array(np.array([size]), "bomb_shape"))
        nodes = [make("ConstantOfShape", ["bomb_shape"], ["bomb"])]
    elif kind == "Expand":
        graph.initializer.append(numpy_helper.from_array(np.array([size]), "bomb_shape"))
        graph.initializer.append(numpy_helper.from_array(np.array([1.0], np.float32), "bomb_one"))
        nodes = [make("Expand", ["bomb_one", "bomb_shape"], ["bomb"])]
    elif kind == "Range":
        for name, value in (("bomb_0", 0), ("bomb_n", size), ("bomb_1", 1)):
            graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        nodes = [
            make("Range", ["bomb_0", "bomb_n", "bomb_1"], ["bomb_whole"]),
            make("Cast", ["bomb_whole"], ["bomb"], to=1),
        ]
    elif kind == "Tile":
        graph.initializer.append(numpy_helper.from_array(np.array([1, size // 1000]), "bomb_times"))
        nodes = [make("Tile", ["waveform", "bomb_times"], ["bomb"])]
    elif kind == "outer":
        graph.initializer.append(numpy_helper.from_array(np.ones((300_000, 1), np.float32), "bomb_column"))
        nodes = [make("MatMul", ["bomb_column", "waveform"], ["bomb"])]
    else:
        graph.initializer.append(numpy_helper.from_array(np.array(2**62), "bomb_times"))
        graph.initializer.append(numpy_helper.from_array(np.array(True), "bomb_on"))
        info = helper.make_tensor_value_info
        given = [info("turn", TensorProto.INT64, []), info("on_in", TensorProto.BOOL, [])]
        made = [info("on_out", TensorProto.BOOL, []), info("v_out", TensorProto.FLOAT, None)]
        steps = [make("Identity", ["on_in"], ["on_out"]), make("Add", ["v_in", "v_in"], ["v_out"])]
        body = helper.make_graph(steps, "body", [*given, info("v_in", TensorProto.FLOAT, None)], made)
        nodes = [make("Loop", ["bomb_times", "bomb_on", "waveform"], ["bomb"], body=body)]
    last = next(node for node in graph.node if "log_probs" in node.output)
    last.output[list(last.output).index("log_probs")] = "log_probs_before"
    nodes += [
        make("ReduceMax", ["bomb"], ["bomb_max"], keepdims=0),
        make("Add", ["log_probs_before", "bomb_max"], ["log_probs"]),
    ]
    graph.node.extend(nodes)
    return f"{kind} of {size:.0e}" + _write(model, path, rng)


def _diamonds(content: bytes, path: Path, rng: random.Random) -> str:
    """Forty generations of two parents each: a walk along every way would have 2⁴⁰ steps."""
    model = onnx.load_from_string(content)
    prop = next(prop for prop in model.metadata_props if prop.key == "diminuendo.lineage")
    record = json.loads(prop.value)
    own = {key: record[key] for key in ("stage", "name", "parameters", "code", "corpus")}
    count = rng.choice([40, 90, 5000])
    names = [f"{generation:062x}" for generation in range(count)]
    ancestors = {}
    for generation, digest in enumerate(names):
        older = names[generation + 1] if generation + 1 < count else names[0] if rng.random() < 0.5 else None
        for side in ("0a", "0b"):
            parents = {"left": f"{older}0a", "right": f"{older}0b"} if older else {}
            ancestors[digest + side] = {**own, "parents": parents}
    record["ancestors"], record["parents"] = ancestors, {"left": names[0] + "0a", "right": names[0] + "0b"}
    prop.value = json.dumps(record)
    return f"{count} generations" + _write(model, path, rng)


def _write(model: onnx.ModelProto, path: Path, rng: random.Random) -> str:
    path.write_bytes(model.SerializeToString())
    return _sealed_again(path, rng)


def _sealed_again(path: Path, rng: random.Random) -> str:
    """Most files get a checksum that fits: whoever changes one on purpose can do that, too."""
    content = path.read_bytes()
    mark = KEY.encode() + b"\x12\x40"
    if rng.random() < 0.2 or content.count(mark) != 1:
        return ""
    at = content.index(mark) + len(mark)
    content = content[:at] + UNSEALED.encode() + content[at + 64 :]
    try:
        place, digits = seal_of(content)
    except ValueError:
        return ""
    path.write_bytes(content[:place] + digits + content[place + 64 :])
    return ", sealed"
