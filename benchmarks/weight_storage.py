"""Ways to store weights in few bits in an ONNX file: bytes, time to open a session, time to run, default options.

    python -m benchmarks.weight_storage models/teacher/model.onnx

Runs are interleaved, one thread, ten seconds of audio; the least of the repeats is given, as other load only adds.

    python -m benchmarks.weight_storage --parts models/*-int4

says of finished members where the bytes of their files are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from diminuendo.artifact.codec import Quantized, pack_int4, quantize_matrix
from diminuendo.artifact.onnx_file import read_metadata
from diminuendo.artifact.weight_graph import FLOAT, INT4, WeightGraph
from diminuendo.compression.quantization.storage import Storage
from diminuendo.compression.quantization.weight_writer import store_by_choice, store_uniformly
from diminuendo.export.check import probe

GROUP = 16  # the smallest that MatMulNBits allows, so that all variants can have the same codes


def scales_of(quantized: Quantized) -> np.ndarray:
    """float16 ``[G, O]``, as these ways store them."""
    return quantized.scales.decode().reshape(quantized.codes.shape[1], -1).T.astype(np.float16)


def dequantize_linear(graph: WeightGraph, name: str, quantized: Quantized) -> None:
    """The standard operator, blocked, with float16 scales."""
    codes = helper.make_tensor(f"{name}_quantized", INT4, quantized.codes.shape, pack_int4(quantized.codes), raw=True)
    inputs = [graph.add_tensor(codes), graph.add(f"{name}_scale", scales_of(quantized))]
    half = graph.prepend("DequantizeLinear", inputs, f"{name}/half", axis=0, block_size=quantized.group_size)
    graph.prepend("Cast", [half], name, to=FLOAT)


def local_function(graph: WeightGraph, name: str, quantized: Quantized) -> None:
    """Cast, scale and reshape as one function of the model, called once per weight."""
    shape = (-1, quantized.group_size, quantized.codes.shape[1])
    codes = quantized.codes.reshape(shape)
    packed = helper.make_tensor(f"{name}_quantized", INT4, codes.shape, pack_int4(codes), raw=True)
    inputs = [graph.add_tensor(packed), graph.add(f"{name}_scale", scales_of(quantized)[:, None])]
    graph.prepend("Dequantize", inputs, name, domain="diminuendo")
    if not graph.model.functions:
        body = [
            helper.make_node("Cast", ["codes"], ["whole"], to=FLOAT),
            helper.make_node("Cast", ["scales"], ["wide"], to=FLOAT),
            helper.make_node("Mul", ["whole", "wide"], ["product"]),
            helper.make_node("Constant", [], ["any"], value_ints=[-1]),
            helper.make_node("Shape", ["codes"], ["outputs"], start=2),
            helper.make_node("Concat", ["any", "outputs"], ["shape"], axis=0),
            helper.make_node("Reshape", ["product", "shape"], ["weight"]),
        ]
        opsets = [helper.make_opsetid("", 21)]
        function = helper.make_function("diminuendo", "Dequantize", ["codes", "scales"], ["weight"], body, opsets)
        graph.model.functions.append(function)
        graph.model.opset_import.append(helper.make_opsetid("diminuendo", 1))


def matmul_n_bits(accuracy_level: int) -> Callable[[WeightGraph, str, Quantized], None]:
    """ONNX Runtime's own operator; level 0 computes in float32, 4 in int8."""

    def store(graph: WeightGraph, name: str, quantized: Quantized) -> None:
        inputs, outputs = quantized.codes.shape
        codes = quantized.codes.T.reshape(outputs, -1, GROUP).astype(np.int16) + 8
        packed = (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)
        scales = np.ascontiguousarray(scales_of(quantized).T).reshape(-1)
        values = [graph.add(f"{name}_quantized", packed), graph.add(f"{name}_scale", scales)]
        wide = graph.prepend("Cast", [values[1]], f"{name}/scales", to=FLOAT)
        for node in graph.model.graph.node:
            if len(node.input) > 1 and node.input[1] == name:
                node.op_type, node.domain = "MatMulNBits", "com.microsoft"
                node.input[:] = [node.input[0], values[0], wide]
                sizes = {"K": inputs, "N": outputs, "bits": 4, "block_size": GROUP, "accuracy_level": accuracy_level}
                node.attribute.extend(helper.make_attribute(key, value) for key, value in sizes.items())
        if all(opset.domain != "com.microsoft" for opset in graph.model.opset_import):
            graph.model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    return store


def variants(source: Path) -> dict[str, onnx.ModelProto]:
    def with_store(store: Callable[[WeightGraph, str, Quantized], None]) -> onnx.ModelProto:
        model = onnx.load(source)
        graph = WeightGraph(model)
        for product in graph.products():
            if product.operator == "MatMul" and product.shape[0] % GROUP == 0:
                quantized = quantize_matrix(graph.array(product.weight), 4, GROUP)
                graph.remove(product.weight)
                store(graph, product.weight, quantized)
        return graph.finish()

    return {
        "float32": onnx.load(source),
        "float16 (as shipped)": store_uniformly(onnx.load(source), 16),
        "int8 (as shipped)": store_uniformly(onnx.load(source), 8),
        "int4 (as shipped)": store_uniformly(onnx.load(source), 4, GROUP),
        "int3 in planes (as shipped)": store_by_choice(onnx.load(source), lambda *_: Storage(3)),
        "int4, a tensor and a local function each": with_store(local_function),
        "int4, DequantizeLinear": with_store(dequantize_linear),
        "int4, MatMulNBits in float32": with_store(matmul_n_bits(0)),
        "int4, MatMulNBits in int8": with_store(matmul_n_bits(4)),
    }


def print_parts(members: list[Path]) -> None:
    """Bytes of every part over the parameters in the bits that the scheme promises."""
    summaries = {folder.name: json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in members}
    parts = list(next(iter(summaries.values()))["bytes_of"])
    print(f"| member | nominal bits | bytes | over parameters × bits / 8 | {' | '.join(parts)} |")
    print(f"|---|{'---:|' * (3 + len(parts))}")
    for name, summary in summaries.items():
        ideal = summary["bytes"] / summary["bytes_over_nominal"]
        shares = " | ".join(f"{summary['bytes_of'][part] / ideal:.3f}" for part in parts)
        bits, size = summary["nominal_bits"], summary["bytes"]
        print(f"| {name} | {bits:g} | {size:,} | {summary['bytes_over_nominal']:.3f} | {shares} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model", type=Path, nargs="+", help="a float32 file; with --parts, folders of quantized members"
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--parts", action="store_true")
    arguments = parser.parse_args()
    if arguments.parts:
        return print_parts(arguments.model)
    if len(arguments.model) > 1:
        parser.error("one model at a time, or --parts")
    arguments.model = arguments.model[0]
    models = {name: model.SerializeToString() for name, model in variants(arguments.model).items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    waveform = probe(int(read_metadata(onnx.load(arguments.model))["sample_rate"]), 10.0)[:1]
    feeds = {"waveform": waveform, "waveform_lengths": np.array([waveform.shape[1]])}

    def opened(data: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    sessions = {name: opened(data) for name, data in models.items()}
    loads: dict[str, list[float]] = {name: [] for name in models}
    runs: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(arguments.repeats):
        for name, data in models.items():
            start = time.perf_counter()
            opened(data)
            loads[name].append(time.perf_counter() - start)
            start = time.perf_counter()
            sessions[name].run(None, feeds)
            runs[name].append(time.perf_counter() - start)
    print("| storage | bytes | open, ms | run 10 s of audio, ms |\n|---|---:|---:|---:|")
    for name, data in models.items():
        print(f"| {name} | {len(data):,} | {min(loads[name]) * 1e3:.0f} | {min(runs[name]) * 1e3:.1f} |")


if __name__ == "__main__":
    main()
