"""What this machine can do at best: multiplications and memory, measured with the runtime that the models use."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from diminuendo.runtime.model import session_options

WIDTH = 384  # of the two matrices: they stay in a cache, and a product is over before another process takes the core
FLOATS = 6 << 20  # 24 MiB read and as much written: more than a core's caches hold


class Limit:
    """One operator in a session of its own; ``work`` is what one run of it does, ``best`` its fastest, in seconds."""

    def __init__(self, operator: str, shapes: list[tuple[int, ...]], work: float, threads: int):
        names = [f"x{index}" for index in range(len(shapes))]
        inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes)]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes[0])
        graph = helper.make_graph([helper.make_node(operator, names, ["y"])], operator, inputs, [output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
        )
        # Inputs and output stay where they are: what is measured is the operator, not the allocation.
        self._binding = self._session.io_binding()
        for name, shape in zip(names, shapes):
            self._binding.bind_cpu_input(name, np.full(shape, 0.5, np.float32))
        self._result = np.zeros(shapes[0], np.float32)
        value = onnxruntime.OrtValue.ortvalue_from_numpy(self._result)
        self._binding.bind_ortvalue_output("y", value)
        self.work, self.best = work, float("inf")

    def run(self) -> None:
        begin = time.perf_counter()
        self._session.run_with_iobinding(self._binding)
        self.best = min(self.best, time.perf_counter() - begin)

    @property
    def per_second(self) -> float:
        return self.work / self.best


def arithmetic(threads: int) -> Limit:
    """Multiply-accumulates of float32 in one large product."""
    return Limit("MatMul", [(WIDTH, WIDTH)] * 2, WIDTH**3, threads)


def memory(threads: int) -> Limit:
    """Bytes read and written by a pass over an array that no cache holds."""
    return Limit("Neg", [(FLOATS,)], 2 * 4 * FLOATS, threads)
