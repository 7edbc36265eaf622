"""What it is worth to do convolutions over time in integers as well (``integer_convolutions: true``).

    python -m benchmarks.integer_convolutions models/teacher/model.onnx

The float32 file and its two files of ``int8_dynamic`` take turns on one thread, over the same noise, and the median of
the ratios within a turn is printed, as in :mod:`benchmarks.two_files`; and by how much log-probabilities of a second of
sound are moved in the mean. Of random weights only the times mean something.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.two_files import fastest
from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.onnx_file import MODEL, read_onnx, write_onnx
from diminuendo.cli.errors import plain_errors
from diminuendo.compression.quantization.integer import quantize_dynamic
from diminuendo.compression.quantization.quantized_file import compare
from diminuendo.compression.quantization.weight_writer import store_uniformly
from diminuendo.profiling.measure import noise
from diminuendo.runtime.model import AcousticModel


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.integer_convolutions", description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a float32 file")
    parser.add_argument("--seconds", type=float, default=3.5, help="Audio of one run.")
    parser.add_argument("--turns", type=int, default=40)
    given = parser.parse_args()
    with plain_errors(), TemporaryDirectory() as folder:
        paths = [given.model, *(Path(folder) / name / MODEL for name in ("float32", "integers"))]
        for path, told in zip(paths[1:], (False, True)):
            path.parent.mkdir()
            write_onnx(path, store_uniformly(quantize_dynamic(given.model, convolutions=told), 8))
        models = [AcousticModel(path, threads=1) for path in paths]
        rate = models[0].sample_rate
        runs = [partial(model.log_probs_of, noise(given.seconds, rate)) for model in models]
        taken = np.array([[fastest(run) for run in runs] for _ in range(given.turns)])
        parent = read_onnx(given.model)
        print("| products | convolutions | bytes | × faster | half of the turns | log-probabilities moved by |")
        print("|---|---|---:|---:|---:|---:|")
        for (products, convolutions), path, column in zip(
            (("float32", "float32"), ("integers", "float32"), ("integers", "integers")), paths, taken.T
        ):
            low, middle, high = np.percentile(taken[:, 0] / column, [25, 50, 75])
            moved = "—" if path is given.model else f"{compare(path, parent, rate):.3f}"
            size = bytes_of_files(path)
            print(f"| {products} | {convolutions} | {size:,} | {middle:.2f} | {low:.2f} to {high:.2f} | {moved} |")


if __name__ == "__main__":
    main()
