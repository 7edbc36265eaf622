"""Rounding that makes up for its own errors: the error of one input's weight is fed back into those not rounded yet.

GPTQ (Frantar et al. 2022) rounds the inputs of a product one after the other. What rounding one of them changes in the
outputs, over the inputs that ``XᵀX`` was summed over, the weights of the rest take over as far as they can. Then codes
and scales are gone through again, each set to what is best given all others (coordinate descent, as in QuantEase,
Behdin et al. 2023): no step makes the outputs' error larger.

Steps of scales, groups and bits are those of plain rounding, so that the file is as large, to the byte.

Shapes: ``I`` inputs, ``O`` outputs, ``G`` groups of inputs that share a scale.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from threadpoolctl import threadpool_limits

from diminuendo.artifact.codec import HIGHEST, Quantized, QuantizedVector, quantize_matrix
from diminuendo.artifact.seven_bits import Integers, integers_of
from diminuendo.compression.quantization.input_grams import Gram, InputGrams
from diminuendo.compression.quantization.storage import Storage, matrix_of, quantize_weight
from diminuendo.compression.quantization.weight_writer import Rounding

DAMPING = 0.01  # of the mean diagonal, added to it: inputs that calibration never saw still count
BLOCK = 128  # inputs whose errors are fed back to later ones at once
SHRINKAGE = 0.5  # rows for each input at which half of what is between two inputs is believed
OUTPUTS = 2048  # columns that are worked on at once: each is by itself
SWEEPS = 3
# Fractions of the widest grid that are tried: what is far out may be clipped where few inputs hear it.
FRACTIONS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)


def with_feedback(model: onnx.ModelProto, audio: list[np.ndarray], work: Path) -> Rounding:
    """Rounds the weights of a float32 file for what they are multiplied with over calibration audio.

    Weights of convolutions are rounded by themselves.

    Args:
        audio: waveforms float32 ``[N]`` of train, at the model's sample rate.
        work: a folder in which what was measured is kept.
    """
    grams = InputGrams(model, audio, work)

    def rounding(name: str, operator: str, weight: np.ndarray, storage: Storage) -> Quantized | Integers:
        if (gram := grams.of(name)) is None or (storage.integers and storage.bits == 8):
            return quantize_weight(operator, weight, storage)
        found = quantize_with_feedback(matrix_of(operator, weight), gram, storage.bits, storage.group_size)
        return integers_of(found.decode(), found) if storage.integers else found

    return rounding


def quantize_with_feedback(weight: np.ndarray, gram: Gram, bits: int, group_size: int | None = None) -> Quantized:
    """Round float32 ``[I, O]`` so that products with the inputs of ``gram`` change little.

    Args:
        gram: of the inputs, float64.
        group_size: see :func:`~diminuendo.artifact.codec.quantize_matrix`, which alone does it where inputs were all 0
            or not finite.
    """
    plain = quantize_matrix(weight, bits, group_size)
    level = gram.matrix.diagonal().mean()
    if not (level > 0 and np.isfinite(gram.matrix).all()):
        return plain
    outputs = weight.shape[1]
    steps = np.repeat(plain.scales.steps.astype(np.float32), plain.scales.lengths).reshape(outputs, -1)
    scale_codes = plain.scales.codes.reshape(outputs, -1)
    with threadpool_limits(1):  # sums in one order, however many cores there are
        problem = Problem(damped(gram), bits, plain.group_size)
        parts = [
            problem.solve(weight[:, at : at + OUTPUTS], scale_codes[at : at + OUTPUTS].T, steps[at : at + OUTPUTS].T)
            for at in range(0, outputs, OUTPUTS)
        ]
    codes = np.concatenate([codes for codes, _ in parts], axis=1)
    scales = np.concatenate([scales.T.reshape(-1) for _, scales in parts])
    return Quantized(codes, QuantizedVector(scales, plain.scales.steps, plain.scales.lengths), bits, plain.group_size)


def damped(gram: Gram) -> np.ndarray:
    """``XᵀX`` as far as it holds for rows that were not seen, float64 ``[I, I]``, its mean diagonal about 1.

    How two inputs go together is known the worse the fewer rows there are for an input: what is between them is
    shrunk towards 0. Along a decoder's texts there are hundreds of rows; to believe them is worse for other texts than
    plain rounding.
    """
    inputs = len(gram.matrix)
    diagonal = gram.matrix.diagonal()
    found = gram.matrix * (gram.rows / (gram.rows + SHRINKAGE * inputs) / diagonal.mean())
    found[np.diag_indices(inputs)] = diagonal / diagonal.mean() + DAMPING
    return found


class Problem:
    """All columns of a matrix share it: ``gram`` is damped, float64 ``[I, I]``."""

    def __init__(self, gram: np.ndarray, bits: int, group_size: int):
        self.gram, self.group_size = gram.astype(np.float32), group_size
        self.lowest, self.highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        # What weighs most is rounded first, while there are others that can make up for it.
        self.order = np.argsort(-gram.diagonal(), kind="stable")
        self.factor = _inverse_factor(gram[np.ix_(self.order, self.order)]).astype(np.float32)
        # How much an error of each input's weight is heard when all inputs after it have made up for it as they can.
        self.heard = np.empty(len(gram), np.float32)
        self.heard[self.order] = self.factor.diagonal() ** -2

    def solve(self, weight: np.ndarray, scale_codes: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes int8 ``[I, O]`` and codes of scales int8 ``[G, O]``; those given are where the search begins."""
        scale_codes = self._clipped(weight, scale_codes.astype(np.float32), steps)
        codes = self._fed_back(weight, scale_codes * steps)
        for _ in range(SWEEPS):
            self._descend(weight, codes, scale_codes, steps)
        return codes.astype(np.int8), scale_codes.astype(np.int8)

    def _clipped(self, weight: np.ndarray, scale_codes: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Codes of scales that leave the least error as it is heard; in 8 bits nothing is clipped on purpose."""
        if self.highest == HIGHEST:
            return scale_codes
        found = scale_codes.copy()
        for group, step in enumerate(steps):
            rows = slice(group * self.group_size, (group + 1) * self.group_size)
            values, heard = weight[rows], self.heard[rows]
            widest = np.take_along_axis(values, np.abs(values).argmax(axis=0)[None], axis=0)[0]
            candidates = [widest * (part / side) for part in FRACTIONS for side in (self.lowest, self.highest)]
            best, least = found[group], np.full(values.shape[1], np.inf)
            for scale in (best * step, *candidates):
                code = np.clip(np.rint(np.abs(scale) / step), 1, HIGHEST) * np.where(scale < 0, -1, 1)
                code = code.astype(np.float32)
                error = values - self._round(values, code * step) * (code * step)
                error = np.einsum("i,io,io->o", heard, error, error)
                better = error < least
                best[better], least[better] = code[better], error[better]
        return found

    def _round(self, values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(values / scale), self.lowest, self.highest)

    def _fed_back(self, weight: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Codes float32 ``[I, O]``, each rounded after the errors of those before it were fed back."""
        codes, left, diagonal = np.empty_like(weight), weight[self.order], self.factor.diagonal()
        for begin in range(0, len(weight), BLOCK):
            block = left[begin : begin + BLOCK]
            factor = self.factor[begin : begin + BLOCK, begin:]
            errors = np.empty_like(block)
            for row, at in enumerate(self.order[begin : begin + BLOCK]):
                scale = scales[at // self.group_size]
                codes[at] = self._round(block[row], scale)
                errors[row] = (block[row] - codes[at] * scale) / diagonal[begin + row]
                block[row + 1 :] -= factor[row, row + 1 : len(block), None] * errors[row]
            left[begin + BLOCK :] -= factor[:, len(block) :].T @ errors
        return codes

    def _descend(self, weight: np.ndarray, codes: np.ndarray, scale_codes: np.ndarray, steps: np.ndarray) -> None:
        """Set every scale, then the codes that have it, to the best given all others, in place."""
        residual = weight - codes * np.repeat(scale_codes * steps, self.group_size, axis=0)[: len(weight)]
        for group in range(len(steps)):
            rows = slice(group * self.group_size, (group + 1) * self.group_size)
            own, gradient = codes[rows], self.gram[rows] @ residual
            curvature = np.einsum("io,io->o", own, self.gram[rows, rows] @ own)
            wanted = scale_codes[group] + np.einsum("io,io->o", own, gradient) / (
                np.maximum(curvature, np.float32(1e-12)) * steps[group]
            )
            # Zeros alone have no best scale, and a scale keeps its sign.
            sign = np.sign(scale_codes[group])
            better = np.where(curvature > 0, np.clip(np.rint(wanted * sign), 1, HIGHEST) * sign, scale_codes[group])
            change = own * ((better - scale_codes[group]) * steps[group])
            scale_codes[group] = better
            residual[rows] -= change
            self._descend_codes(rows, codes, scale_codes[group] * steps[group], residual)

    def _descend_codes(self, rows: slice, codes: np.ndarray, scale: np.ndarray, residual: np.ndarray) -> None:
        for begin in range(rows.start, min(rows.stop, len(codes)), BLOCK):
            block = slice(begin, min(begin + BLOCK, rows.stop, len(codes)))
            gram = self.gram[block, block]
            gradient = self.gram[block] @ residual
            for row in range(block.stop - begin):
                at = begin + row
                best = self._round(codes[at] * scale + gradient[row] / gram[row, row], scale)
                change = (best - codes[at]) * scale
                codes[at] = best
                residual[at] -= change
                gradient[row + 1 :] -= gram[row + 1 :, row, None] * change


def _inverse_factor(gram: np.ndarray) -> np.ndarray:
    """Upper ``U`` ``[I, I]`` with ``UᵀU`` the inverse of ``gram``: its rows say how errors are shared out."""
    upper = np.linalg.cholesky(gram[::-1, ::-1])[::-1, ::-1]  # gram is upper × upperᵀ
    return np.linalg.inv(upper)
