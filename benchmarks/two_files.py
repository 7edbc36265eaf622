"""Which of two shipped files is faster, and by how much, on a machine that has other work, too.

``python -m benchmarks.two_files A.onnx B.onnx`` hears the same noise with both on one thread. They take turns; a turn
is the fastest of some runs, by CPU time of the thread. The median of the ratios within a turn is what to go by: what
slows the machine down slows both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.cli.errors import plain_errors
from diminuendo.core.errors import UserError
from diminuendo.profiling.measure import noise
from diminuendo.runtime.model import AcousticModel

RUNS = 4  # of a turn


def fastest(run: Callable[[], object]) -> float:
    """CPU seconds of this thread for the fastest of ``RUNS`` runs."""
    taken = []
    for _ in range(RUNS):
        begin = time.thread_time()
        run()
        taken.append(time.thread_time() - begin)
    return min(taken)


def compare(paths: tuple[Path, Path], seconds: float, turns: int) -> np.ndarray:
    """CPU seconds [turns, 2] of one run over so many seconds of audio."""
    if turns < 1:
        raise UserError(f"--turns: {turns}, expected 1 or more")
    if not 0.01 <= seconds <= 600:
        raise UserError(f"--seconds: {seconds:g}, expected 0.01 to 600 seconds of audio")
    models = [AcousticModel(path, threads=1) for path in paths]
    runs = [partial(model.log_probs_of, noise(seconds, model.sample_rate)) for model in models]
    for run in runs:
        fastest(run)  # first runs allocate memory
    taken = np.zeros((turns, 2))
    for turn in range(turns):
        for index in np.random.default_rng(turn).permutation(2):
            taken[turn, index] = fastest(runs[index])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.two_files", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs=2, type=Path, metavar="MODEL")
    parser.add_argument("--seconds", type=float, default=2.45, help="Audio of one run.")
    parser.add_argument("--turns", type=int, default=150)
    given = parser.parse_args()
    with plain_errors():
        taken = compare(tuple(given.files), given.seconds, given.turns)
        print(f"{'':<32}{'bytes':>12}{'quartile µs':>14}{'median µs':>14}")
        for path, column in zip(given.files, taken.T):
            low, middle = 1e6 * np.percentile(column, [25, 50])
            print(f"{path.parent.name:<32}{bytes_of_files(path):>12}{low:>14.0f}{middle:>14.0f}")
        low, middle, high = np.percentile(taken[:, 1] / taken[:, 0], [25, 50, 75])
        print(f"second to first: {middle:.2f}, half of {given.turns} turns from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
