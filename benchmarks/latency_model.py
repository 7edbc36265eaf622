"""Fit the prices of :class:`~diminuendo.compression.pruning.cost.Prices` to this machine, and say how far off it is.

    OMP_NUM_THREADS=1 python -m benchmarks.latency_model

Files of random widths, untrained, take turns on one thread of ONNX Runtime; non-negative least squares of relative
errors gives the prices. Time is the thread's on the processor, and of its repeats one of the fastest: what else runs
on the machine adds to the rest. Half of the files are left out of the fit, and what is printed last is the error there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch

from diminuendo.compression.pruning.cost import Prices, group_features, rest_features
from diminuendo.config.frontend import FrontendConfig
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.onnx_writer import build_onnx
from diminuendo.models.conformer.record import ConformerRecord
from diminuendo.models.conformer_record import LayerRecord

SAMPLE_RATE = 16000
FRONTENDS = tuple(
    FrontendConfig(mels=mels, window_seconds=0.025, hop_seconds=hop, low_hz=20.0, high_hz=7600.0)
    for mels, hop in ((80, 0.01), (64, 0.02), (40, 0.02))
)
SECONDS = (1.0, 2.5, 5.0)
FAST = 0.1  # quantile over the repeats that is taken for a file's time


def random_record(rng: np.random.Generator) -> ConformerRecord:
    """Widths between those of a student and of a teacher; any module may be absent, as pruning leaves it."""
    width, head_width = int(rng.choice([80, 112, 144, 192])), int(rng.choice([24, 36, 40]))

    def some(high: int) -> int:
        return 0 if rng.random() < 0.2 else int(rng.integers(1, high + 1))

    layers = tuple(
        LayerRecord(
            heads=some(6),
            head_width=head_width,
            feed_forward_1=some(4 * width),
            feed_forward_2=some(4 * width),
            convolution=some(width),
            kernel=int(rng.choice([7, 15, 31])),
        )
        for _ in range(rng.integers(1, 7))
    )
    return ConformerRecord(
        sample_rate=SAMPLE_RATE,
        frontend=FRONTENDS[int(rng.integers(len(FRONTENDS)))],
        subsampling=int(rng.choice([2, 4])),
        subsampling_channels=int(rng.choice([0, 0, 0, 8, 16])),
        width=width,
        dropout=0.0,
        vocabulary=30,
        layers=layers,
    )


def features_of(model: ConformerCTC, seconds: float) -> dict[str, float]:
    """Everything a file does for an utterance of ``seconds``, summed over its modules."""
    total = dict.fromkeys(Prices.__dataclass_fields__, 0.0)
    _, frames = model.record.frames_of(seconds)
    groups = model.structure().groups.values()
    parts = [rest_features(model, seconds), *(group_features(model, g, g.count, frames) for g in groups)]
    for part in parts:
        for name, value in part.items():
            total[name] += value
    return total


def session_of(model: ConformerCTC) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function of a waveform float32 [N] that runs the exported file on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(build_onnx(model, {}).SerializeToString(), options)
    return lambda x: session.run(None, {"waveform": x[None], "waveform_lengths": np.array([len(x)])})


def thread_seconds(
    sessions: dict[str, Callable[[np.ndarray], object]], waveforms: list[np.ndarray], repeats: int
) -> dict[str, np.ndarray]:
    """Name to processor seconds float64 [utterances] of files that take turns in a changing order."""
    rng, names = np.random.default_rng(0), list(sessions)
    taken = {name: np.zeros((repeats, len(waveforms))) for name in names}
    for repeat in range(-1, repeats):  # the first run of a session allocates its memory
        for utterance, waveform in enumerate(waveforms):
            for turn in rng.permutation(len(names)):
                begin = time.thread_time()
                sessions[names[turn]](waveform)
                taken[names[turn]][repeat, utterance] = time.thread_time() - begin
    return {name: np.quantile(values, FAST, axis=0) for name, values in taken.items()}


def fit(A: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Prices [features] ≥ 0 with the least squares of relative errors; rows of ``A`` are files, columns features."""
    from scipy.optimize import nnls

    scale = A.max(axis=0)
    return nnls(A / scale / seconds[:, None], np.ones(len(A)))[0] / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    waveforms = [(0.1 * rng.standard_normal(round(s * SAMPLE_RATE))).astype(np.float32) for s in SECONDS]
    models = {str(index): ConformerCTC(random_record(rng)).eval() for index in range(arguments.files)}
    taken = thread_seconds({name: session_of(model) for name, model in models.items()}, waveforms, arguments.repeats)
    names = list(Prices.__dataclass_fields__)
    rows = [[features_of(model, s)[name] for name in names] for model in models.values() for s in SECONDS]
    times = [t for name in models for t in taken[name]]
    A, seconds = np.array(rows), np.array(times)
    seen = np.arange(len(A)) // len(SECONDS) % 2 == 0
    trial = fit(A[seen], seconds[seen])
    off = np.abs(A[~seen] @ trial / seconds[~seen] - 1)
    final = fit(A, seconds)
    mac = final[names.index("mac")]
    print(f"one multiply-accumulate: {mac:.3g} s")
    for name, price in zip(names, final / mac):
        print(f"    {name}: float = {price:.3g}")
    print(f"files left out of the fit: off by {np.median(off):.1%} (median), {np.quantile(off, 0.9):.1%} (90 %)")


if __name__ == "__main__":
    main()
