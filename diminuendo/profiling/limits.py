"""The limits of this machine for products and memory, measured with the runtime that the models use."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime

from diminuendo.profiling.one_operator import one_operator
from diminuendo.runtime.model import session_options

WIDTH = 384  # size of the two matrices: small enough for a cache, and for a product to end before another process runs
FLOATS = 6 << 20  # 24 MiB read and 24 MiB written: more than a core's caches hold


class Limit:
    """One operator in its own session; ``work`` is the amount in one run, ``best`` the fastest run in seconds."""

    def __init__(self, operator: str, shapes: list[tuple[int, ...]], work: float, threads: int):
        self._session = onnxruntime.InferenceSession(
            one_operator(operator, shapes), session_options(threads), providers=["CPUExecutionProvider"]
        )
        # Inputs and output are bound in place: the operator is measured, not the allocation.
        self._binding = self._session.io_binding()
        for index, shape in enumerate(shapes):
            self._binding.bind_cpu_input(f"x{index}", np.full(shape, 0.5, np.float32))
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
    """Bytes read and written by a pass over an array that is larger than the caches."""
    return Limit("Neg", [(FLOATS,)], 2 * 4 * FLOATS, threads)
