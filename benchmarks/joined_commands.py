"""What models make of recordings that are not one trimmed utterance: pairs of one voice, and silence before speech.

``python -m benchmarks.joined_commands MODEL…`` prints word error rates on the test split of ``data/prepared``: single
utterances as they are, two utterances of one speaker with 0.3 s between them, and 0.5 s before every second utterance;
the pauses are white noise at −60 dB of full scale.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from diminuendo.cli.errors import plain_errors
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.scoring import Bootstrap, count_errors, rate
from diminuendo.family import current
from diminuendo.runtime.ctc import decode_text
from diminuendo.runtime.recognizer import Recognizer

PAUSE_SECONDS, LEAD_SECONDS, LEVEL_DB = 0.3, 0.5, -60.0
Heard = list[tuple[np.ndarray, str]]  # waveform [N], text


def recordings(corpus: PreparedCorpus) -> dict[str, Heard]:
    """What is said and how it sounds, by kind."""
    rng = np.random.default_rng(0)

    def quiet(seconds: float) -> np.ndarray:
        samples = round(seconds * corpus.sample_rate)
        return (10 ** (LEVEL_DB / 20) * rng.standard_normal(samples)).astype(np.float32)

    by_speaker: dict[str | None, list] = {}
    for utterance in corpus.test:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    pairs = [pair for own in by_speaker.values() for pair in zip(own[0::2], own[1::2])]
    return {
        "single": [(corpus.audio(u), u.text) for u in corpus.test],
        "pairs": [
            (np.concatenate([corpus.audio(a), quiet(PAUSE_SECONDS), corpus.audio(b)]), f"{a.text} {b.text}")
            for a, b in pairs
        ],
        "silence before": [(np.concatenate([quiet(LEAD_SECONDS), corpus.audio(u)]), u.text) for u in corpus.test[::2]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.joined_commands", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    given = parser.parse_args()
    with plain_errors():
        heard = recordings(PreparedCorpus.open(given.corpus))
        print(f"{'model':<32}" + "".join(f"{kind:>24}" for kind in heard))
        for path in given.models:
            recognizer = Recognizer(path, threads=1)
            cells = []
            for said in heard.values():
                found = [decode_text(recognizer.greedy_path(audio), recognizer.model.tokens) for audio, _ in said]
                counts = count_errors([text for _, text in said], found)
                errors, words = (np.array([getattr(c, key) for c in counts]) for key in ("word_errors", "words"))
                bootstrap = Bootstrap(len(counts), 1000, 0.95, 0)
                limits = bootstrap.interval(bootstrap.rates(errors, words))
                cells.append(f"{100 * rate(errors, words):.1f} [{100 * limits.low:.1f}, {100 * limits.high:.1f}]")
            print(f"{path.parent.name:<32}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
