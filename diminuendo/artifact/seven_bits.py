"""Weights of products in 8-bit integers: 7 of their 8 bits, with a scale for each output.

Processors without VNNI add pairs of 8-bit products in 16 bits, which full-range weights overflow, and the same file
would give other words on an older machine. What is rounded may be values that are stored in fewer bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diminuendo.artifact.codec import Quantized

HIGHEST = 64  # code of a weight, in 7 of 8 bits


@dataclass(frozen=True)
class Integers:
    """A weight as integer products read it.

    Attributes:
        codes: int8 ``[I, O]``, from −64 to 64.
        steps: float32 ``[O]``, what a code of each output is worth.
        stored: what the codes are made from when the session opens, in 4 bits; None: they are stored themselves.
    """

    codes: np.ndarray
    steps: np.ndarray
    stored: Quantized | None = None

    def decode(self) -> np.ndarray:
        """float32 ``[I, O]``."""
        return self.codes.astype(np.float32) * self.steps


def integers_of(weight: np.ndarray, stored: Quantized | None = None) -> Integers:
    """A matrix ``[I, O]`` rounded to 7 bits with a scale for each output."""
    steps = np.abs(weight).max(axis=0, initial=0) / np.float32(HIGHEST)
    steps[steps < np.finfo(np.float32).tiny] = 1
    return Integers(np.clip(np.rint(weight / steps), -128, 127).astype(np.int8), steps, stored)
