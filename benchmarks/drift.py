"""How often drift warns of a corpus' own speakers, and how far its SNR estimate is off.

``python -m benchmarks.drift CORPUS [NOISE]``: anything that ``diminuendo drift`` reads; NOISE is a folder of recordings
to mix in beside white noise.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from diminuendo.config.shipping import DriftConfig
from diminuendo.drift import Statistics, compare, statistics_of
from diminuendo.drift.signal import signal_to_noise
from diminuendo.drift.sources import open_source
from diminuendo.drift.words import words_of

LIMITS = DriftConfig(stability_index=0.25, out_of_vocabulary=0.05)
TRIALS = 30
SIZES = ((5, 10), (20, 20), (None, 99))  # speakers (None: half of them), most utterances of each
RECORDINGS = 60


def part(whole: Statistics, rows: np.ndarray) -> Statistics:
    """The statistics of some of the sampled utterances."""
    speakers, texts = [whole.speaker[row] for row in rows], [whole.texts[row] for row in rows]
    said_by: dict[str, set[int]] = {}
    for speaker, text in zip(speakers, texts):
        for word in words_of(text):
            said_by.setdefault(word, set()).add(speaker)
    numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(speakers))}
    return replace(
        whole,
        utterances=len(rows),
        speakers=len(numbers),
        words=dict(Counter(word for text in texts for word in words_of(text))),
        characters="".join(sorted(set("".join(texts)))),
        measures={name: [values[row] for row in rows] for name, values in whole.measures.items()},
        speaker=[numbers[speaker] for speaker in speakers],
        texts=texts,
        unshared=[sum(len(said_by[word]) == 1 for word in words_of(text)) for text in texts],
    )


def false_warnings(whole: Statistics) -> None:
    rng = np.random.default_rng(0)
    owner = np.array(whole.speaker)
    total = int(owner.max()) + 1
    for wanted, most in SIZES:
        warned, sizes = 0, []
        for _ in range(TRIALS):
            chosen = rng.permutation(total)[: wanted or total // 2]
            new = np.concatenate([np.flatnonzero(owner == speaker)[:most] for speaker in chosen])
            old = np.flatnonzero(~np.isin(owner, chosen))
            warned += bool(compare(part(whole, old), part(whole, new), LIMITS).warnings)
            sizes.append(len(new))
        print(f"{wanted or total // 2} speakers, {np.mean(sizes):.0f} utterances: warned {warned} of {TRIALS}")


def snr_errors(corpus: Path, noise_folder: Path | None) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    utterances = open_source(corpus, True, ("train",)).utterances
    recordings = [utterances[i].read() for i in rng.permutation(len(utterances))[:RECORDINGS]]
    paths = (path for path in sorted(noise_folder.rglob("*")) if path.is_file()) if noise_folder else ()
    noises = [soundfile.read(path)[0] for path in paths if path.suffix in (".wav", ".flac", ".ogg", ".opus")]
    for snr in (0, 10, 20, 30):
        for kind in ("white", "recorded")[: 2 if noises else 1]:
            errors = []
            for samples, rate in recordings:
                noise = rng.standard_normal(len(samples))
                if kind == "recorded":
                    source = noises[rng.integers(len(noises))]
                    noise = np.resize(source[rng.integers(max(1, len(source) - len(samples))) :], len(samples))
                noise = noise * np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-snr / 20)
                errors.append(signal_to_noise(samples + noise, rate) - snr)
            print(f"{snr} dB, {kind}: {np.mean(errors):+.1f} ± {np.mean(np.abs(errors)):.1f}")


def main() -> None:
    corpus = Path(sys.argv[1])
    snr_errors(corpus, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    false_warnings(statistics_of(corpus, True, splits=("train",)))


if __name__ == "__main__":
    main()
