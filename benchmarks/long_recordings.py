"""Whether the windows of a long recording change the words: the test split joined into recordings of some minutes.

``python -m benchmarks.long_recordings MODEL…`` prints, for each shape of window, word error rates, and word edits per
hundred words against decoding in one piece (only as long as attention over all of it fits into memory).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from diminuendo.cli.errors import plain_errors
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.scoring import align_words
from diminuendo.family import current
from diminuendo.runtime import Recognizer

WINDOWS = ((20.0, 2.0), (10.0, 1.0), (5.0, 0.5), (10.0, 2.0))  # seconds of a window, and of context on either side


def recordings(corpus: PreparedCorpus, seconds: float) -> list[tuple[np.ndarray, list[str]]]:
    """Waveforms [N] of at least ``seconds`` each, as long as the utterances last, and their words.

    Raises:
        UserError: all utterances together are shorter.
    """
    found, pieces, words = [], [], []
    for utterance in corpus.test:
        pieces.append(corpus.audio(utterance))
        words += utterance.text.split()
        if sum(map(len, pieces)) >= seconds * corpus.sample_rate:
            found.append((np.concatenate(pieces), words))
            pieces, words = [], []
    if not found:
        length = sum(utterance.duration for utterance in corpus.test)
        raise UserError(f"--minutes: {seconds / 60:g}, the test split has {length / 60:.1f} minutes; take no more")
    return found


def edits(reference: list[list[str]], hypothesis: list[list[str]]) -> str:
    changed = sum(sum(align_words(one, other)) for one, other in zip(reference, hypothesis))
    return f"{100 * changed / sum(map(len, reference)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.long_recordings", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--whole", action="store_true", help="Decode in one piece, too.")
    given = parser.parse_args()
    with plain_errors():
        joined = recordings(PreparedCorpus.open(given.corpus), 60 * given.minutes)
        references = [words for _, words in joined]
        print(
            f"{len(joined)} recordings of {given.minutes:g} minutes or a little more, {sum(map(len, references))} words"
        )
        print(f"{'':<14}{'window, context s':>20}{'WER %':>10}{'edits to whole or first':>26}")
        for path in given.models:
            against: list[list[str]] | None = None
            for window, context in [(1e5, 2.0)] * given.whole + [*WINDOWS]:
                recognizer = Recognizer(path, 1, window_seconds=window, context_seconds=context)
                found = [recognizer.transcribe(waveform).text.split() for waveform, _ in joined]
                against = against or found
                shape = "one piece" if window > 1e4 else f"{window:g}, {context:g}"
                row = f"{shape:>20}{edits(references, found):>10}{edits(against, found):>26}"
                print(f"{path.parent.name:<14}{row}", flush=True)


if __name__ == "__main__":
    main()
