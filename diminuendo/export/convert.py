"""A shipped file written anew for other runtimes, and compared with the original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from diminuendo.artifact.conversion import convert
from diminuendo.artifact.external_data import files_of
from diminuendo.artifact.onnx_file import read_metadata, read_onnx, write_onnx
from diminuendo.artifact.session import open_session
from diminuendo.core.errors import UserError
from diminuendo.core.files import keep_inputs, sha256_of
from diminuendo.export.check import options_for_one_run, probe

SAME = 1e-3  # nats between log-probabilities: sums in another order


@dataclass(frozen=True)
class Converted:
    """What was written: ``difference`` is the largest of any log-probability from the original's."""

    path: Path
    opset: int
    bytes: int
    difference: float

    def __str__(self) -> str:
        return (
            f"{self.path}: opset {self.opset}, {self.bytes:,} bytes, log-probabilities within "
            f"{self.difference:.0e} of the original's"
        )


def convert_file(source: Path, opset: int, target: Path) -> Converted:
    """Write ``source``, a whole file of ours, in the operators of ``opset``; see :mod:`diminuendo.artifact.conversion`.

    Raises:
        UserError: it cannot be said in them, says another thing then, or ``target`` is ``source``.
    """
    keep_inputs(target, *files_of(source))
    original = read_onnx(source)
    try:
        found = convert(original, opset, sha256_of(source))
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    difference = _difference(original, found)
    if not difference <= SAME:
        raise UserError(
            f"{source}: in opset {opset} its log-probabilities are {difference:.2g} off; nothing is written"
        )
    write_onnx(target, found)
    return Converted(target, opset, target.stat().st_size, difference)


def _difference(original: onnx.ModelProto, converted: onnx.ModelProto) -> float:
    waveform = probe(int(read_metadata(original)["sample_rate"]))
    feeds = {"waveform": waveform, "waveform_lengths": np.array([waveform.shape[1], waveform.shape[1] // 2])}
    options = options_for_one_run(int(read_metadata(original)["parameters"]))
    options.log_severity_level = 3
    (expected, frames), (found, own) = (open_session(m, options).run(None, feeds) for m in (original, converted))
    if found.shape != expected.shape or not np.array_equal(frames, own):
        return float("inf")
    return float(max(np.abs(a[:n] - b[:n]).max() for a, b, n in zip(expected, found, frames)))
