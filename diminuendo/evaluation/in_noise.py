"""Error rates in noise, from the lines that ``noisy`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.evaluation import NoiseConfig
from diminuendo.config.names import TEACHER
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.hidden import CLEAN, Silent
from diminuendo.evaluation.loops import Parts
from diminuendo.evaluation.noise import NOISE, SILENCE, chosen, snr_name
from diminuendo.evaluation.noisy import read_lines
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import Scores, counts_of
from diminuendo.metrics.normalizers import Normalizer
from diminuendo.metrics.unit import Counts


@dataclass(frozen=True)
class InNoise:
    """The counts of some models in noise.

    Attributes:
        at: indices int64 of the test utterances that were tried.
        seconds: of each, float64.
        counts: model to condition to counts, each int64 [tried], in the order of ``at``.
        spoken: names of the conditions with speech.
    """

    at: np.ndarray
    seconds: np.ndarray
    counts: Mapping[str, Mapping[str, Counts]]
    spoken: tuple[str, ...]

    @classmethod
    def read(
        cls,
        folders: Mapping[str, Path],
        corpus: PreparedCorpus,
        config: NoiseConfig,
        seed: int,
        normalizer: Normalizer | None,
    ) -> InNoise:
        """Count the errors of lines that are there.

        Args:
            folders: model to the folder with its lines.

        Raises:
            UserError: the normaliser fails on a text.
        """
        at = chosen(corpus, config.utterances, seed)
        counts = {name: _by_condition(read_lines(folder), normalizer) for name, folder in folders.items()}
        seconds = np.array([corpus.test[index].duration for index in at])
        return cls(at, seconds, counts, tuple(map(snr_name, config.snr_db)))

    @property
    def utterances(self) -> int:
        return len(self.at)

    def rates(self, name: str, scores: Mapping[str, Scores], measuring: Measuring) -> dict[str, Any]:
        """Condition to the rates of a model and their differences to the teacher's in the same condition.

        Args:
            scores: of every model on test, for the condition ``clean``.
        """
        if not len(self.at):
            return {}
        bootstrap = measuring.bootstrap(self.at)
        found = {CLEAN: measuring.rates(Scores(scores[name].counts), Scores(scores[TEACHER].counts), self.at)}
        for condition in self.spoken:
            own, teachers = (Scores(self.counts[one][condition]) for one in (name, TEACHER))
            found[condition] = measuring.rates_of(own, teachers, bootstrap)
        return found

    def loops(self, name: str) -> Parts:
        """Every condition, for ``loops.loops_in``."""
        return {condition: (own, self.counts[TEACHER][condition]) for condition, own in self.counts[name].items()}

    def silent(self, name: str) -> Silent:
        """The conditions without speech, for ``hidden.hallucinated``."""
        own = self.counts[name]
        return {condition: (own[condition], self.seconds) for condition in (NOISE, SILENCE) if condition in own}


def _by_condition(lines: list[dict[str, Any]], normalizer: Normalizer | None) -> dict[str, Counts]:
    counts = counts_of(lines, normalizer)
    found = {}
    for condition in dict.fromkeys(line["condition"] for line in lines):
        where = [index for index, line in enumerate(lines) if line["condition"] == condition]
        found[condition] = {name: column[where] for name, column in counts.items()}
    return found
