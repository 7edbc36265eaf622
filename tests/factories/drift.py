"""Statistics of corpora that were never recorded: a few numbers per speaker decide what its utterances are like."""

from __future__ import annotations

from collections import Counter

import numpy as np

from diminuendo.drift import Statistics
from diminuendo.drift.statistics import MEASURES

WORDS = [f"w{number}" for number in range(40)]


def dummy_statistics(
    seed: int, speakers: int, each: int, shift: dict[str, float] | None = None, words: list[str] = WORDS
) -> Statistics:
    """``each`` utterances of every speaker; speakers differ as much as the utterances of one do.

    ``shift``: measure to how many standard deviations all utterances are away from the usual.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(speakers), each)
    measures = {
        name: (rng.standard_normal(speakers)[owner] + rng.standard_normal(len(owner)) + (shift or {}).get(name, 0.0))
        for name in MEASURES
    }
    likely = 1 / np.arange(2, len(words) + 2)
    said = [list(rng.choice(words, size=6, p=likely / likely.sum())) for _ in owner]
    by_word: dict[str, set[int]] = {}
    for speaker, sentence in zip(owner, said):
        for word in sentence:
            by_word.setdefault(word, set()).add(int(speaker))
    texts = [" ".join(sentence) for sentence in said]
    return Statistics(
        name=f"dummy {seed}",
        digest=None,
        utterances=len(texts),
        seconds=3.0 * len(texts),
        speakers=speakers,
        words=dict(Counter(word for sentence in said for word in sentence)),
        characters="".join(sorted(set("".join(texts)))),
        measures={name: [float(value) for value in values] for name, values in measures.items()},
        speaker=[int(speaker) for speaker in owner],
        texts=texts,
        unshared=[sum(len(by_word[word]) == 1 for word in sentence) for sentence in said],
    )
