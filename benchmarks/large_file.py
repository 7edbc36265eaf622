"""What it takes to write, quantize and open a file that is too large for one message of protocol buffers.

    python -m benchmarks.large_file

builds a Conformer of random weights, of 3 GB in float32, writes its folder as a training does, quantizes it, and opens
every file. Each step is a process of its own, whose largest resident memory is printed, also as a multiple of the
float32 weights. Files go into a folder that is removed again (about five times the float32 weights at the most).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.onnx_file import MODEL, read_onnx
from diminuendo.cli.errors import plain_errors
from diminuendo.compression.quantization.config import NOMINAL_BITS, QuantizeConfig

WIDTH, VOCABULARY, SAMPLE_RATE = 1024, 128, 16000
LAYER_PARAMETERS = 24_200_000  # of this width, about
SCHEMES = ("int8_weight", "int8_dynamic", "int4_weight", "fp16")
SECONDS = 5.0  # of audio that an opened file hears


def export(folder: Path, layers: int) -> None:
    """Everything that a training leaves: weights, the shipped file, and the comparison of both."""
    import torch

    from diminuendo.config.frontend import FrontendConfig
    from diminuendo.export.trained import deliver
    from diminuendo.models.conformer.config import ArchitectureConfig
    from diminuendo.models.conformer.record import record_of
    from diminuendo.models.registry import build

    architecture = ArchitectureConfig(
        layers=layers, width=WIDTH, heads=8, feed_forward=4 * WIDTH, conv_kernel=15, subsampling=4,
        subsampling_channels=0, dropout=0.0,
    )  # fmt: skip
    frontend = FrontendConfig(mels=80, window_seconds=0.025, hop_seconds=0.01, low_hz=20.0, high_hz=7600.0)
    torch.manual_seed(0)
    model = build(record_of(architecture, frontend, SAMPLE_RATE, VOCABULARY)).eval()
    tokens = ["<blank>", "▁", *(f"t{index}" for index in range(VOCABULARY - 2))]
    deliver(folder, model, name="large", tokens=tokens, lineage={}, history=[], summary={})


def quantize(folder: Path, scheme: str) -> None:
    """As the member of ``quantize`` does it, from the shipped file: written, run, and its figures."""
    from diminuendo.compression.quantization.post_training import quantize_post_training
    from diminuendo.compression.quantization.quantized_file import write_quantized

    source = folder / MODEL
    model = quantize_post_training(source, QuantizeConfig(**{"from": "large", "scheme": scheme}), [])
    target = folder / scheme / MODEL
    write_quantized(target, model, read_onnx(source), name=scheme, lineage={}, nominal=NOMINAL_BITS[scheme])


def hear(path: Path) -> None:
    """Open a file as a recogniser does, with its digests checked, and hear some noise."""
    from diminuendo.profiling.measure import noise
    from diminuendo.runtime.model import AcousticModel

    model = AcousticModel(path, threads=1)
    if not np.isfinite(model.log_probs_of(noise(SECONDS, model.sample_rate))).all():
        raise SystemExit(f"{path}: gives values that are no log-probabilities")


def step(name: str, folder: Path, layers: int) -> None:
    """One step in this process; prints its seconds and the largest resident memory in bytes as JSON."""
    begin = time.perf_counter()
    if name == "export":
        export(folder, layers)
    elif name.startswith("quantize "):
        quantize(folder, name.removeprefix("quantize "))
    else:
        scheme = name.removeprefix("open ")
        hear(folder / MODEL if scheme == "float32" else folder / scheme / MODEL)
    seconds = time.perf_counter() - begin
    print(json.dumps([seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))


def measured(name: str, folder: Path, layers: int) -> tuple[float, int]:
    """Seconds and bytes of a step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large_file", "--folder", str(folder), "--layers", str(layers)]
    done = subprocess.run([*command, "--step", name], stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.large_file", description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=3.0, help="of the weights in float32")
    parser.add_argument("--layers", type=int, help="of the Conformer, in place of --gigabytes")
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=SCHEMES)
    parser.add_argument("--folder", type=Path, help="where a folder for the files is made; the system's by default")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    layers = given.layers or max(1, round(given.gigabytes * 1e9 / 4 / LAYER_PARAMETERS))
    with plain_errors():
        if given.step:
            return step(given.step, given.folder, layers)
        print("| step | bytes of the files | seconds | peak memory | of float32 |\n|:---|---:|---:|---:|---:|")
        with TemporaryDirectory(dir=given.folder, prefix="large-file-") as place:
            folder, whole = Path(place), 0
            names = ["export", "open float32", *(f"{do} {s}" for s in given.schemes for do in ("quantize", "open"))]
            for name in names:
                seconds, peak = measured(name, folder, layers)
                scheme = name.rpartition(" ")[2]
                path = folder / scheme / MODEL if scheme in SCHEMES else folder / MODEL
                whole = whole or bytes_of_files(path)
                print(
                    f"| {name} | {bytes_of_files(path):,} | {seconds:.0f} | {peak / 1e9:.2f} GB | {peak / whole:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
