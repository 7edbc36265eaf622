"""Audio per second of processor time, one utterance at a time against batches, and whether the words stay the same.

``python -m benchmarks.batches MODEL…`` decodes the test split of ``data/prepared`` with one thread; ways take turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from diminuendo.cli.errors import plain_errors
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.family import current
from diminuendo.runtime import Recognizer
from diminuendo.runtime.ctc import decode_text

BATCH_SECONDS, REPEATS = (0.0, 5.0, 20.0, 80.0), 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.batches", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1, help="Take every so-manieth utterance.")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    given = parser.parse_args()
    with plain_errors():
        corpus = PreparedCorpus.open(given.corpus)
        chosen = corpus.test[:: given.every]
        waveforms = [corpus.audio(utterance) for utterance in chosen]
        seconds = sum(utterance.duration for utterance in chosen)
        print(f"{'batch of':<24}" + "".join(f"{f'{s:g} s' if s else 'one':>14}" for s in BATCH_SECONDS))
        for path in given.models:
            recognizer = Recognizer(path, threads=1)
            taken = np.zeros((REPEATS, len(BATCH_SECONDS)))
            texts: dict[float, list[str]] = {}
            for repeat in range(REPEATS):
                for column in np.random.default_rng(repeat).permutation(len(BATCH_SECONDS)):
                    batch = BATCH_SECONDS[column]
                    begin = time.process_time()
                    if batch:
                        found = recognizer.greedy_paths(waveforms, batch)
                    else:
                        found = [recognizer.greedy_path(waveform) for waveform in waveforms]
                    taken[repeat, column] = time.process_time() - begin
                    texts[batch] = [decode_text(tokens, recognizer.model.tokens) for tokens in found]
            speeds = seconds / np.median(taken, axis=0)
            differ = [sum(a != b for a, b in zip(texts[0.0], texts[batch])) for batch in BATCH_SECONDS]
            print(f"{path.parent.name:<24}" + "".join(f"{f'{s:.0f}× ({d})':>14}" for s, d in zip(speeds, differ)))
        print(f"times real time by processor time, median of {REPEATS}; (transcripts of {len(waveforms)} that differ)")


if __name__ == "__main__":
    main()
