"""Statistics of a corpus, small enough to be kept with the model that was trained on it."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_json
from diminuendo.drift.sources import Spoken, open_source
from diminuendo.drift.words import words_of

FORMAT = 1
SAMPLED = 2000  # utterances whose audio is measured, evenly spread over the corpus; words are counted in all

# Name to (label, unit) of what is measured for each utterance, in the order of the report.
MEASURES = {
    "duration": ("duration", "s"),
    "level": ("level", "dBFS"),
    "signal_to_noise": ("signal-to-noise ratio", "dB"),
    "bandwidth": ("bandwidth", "Hz"),
    "clipping": ("clipped samples", "%"),
    "speaking_rate": ("speaking rate", "characters/s"),
}


@dataclass(frozen=True)
class Statistics:
    """Statistics of one corpus.

    Attributes:
        name: where it was read.
        digest: of the prepared corpus, if it is one.
        utterances, seconds, speakers: of the whole corpus; speakers is 0 if none is named.
        words: word to how often it occurs in the whole corpus.
        characters: every character that occurs, in code point order.
        measures: name (see ``MEASURES``) to one figure for each sampled utterance.
        speaker: number of the speaker of each sampled utterance; without speakers each has its own number.
        texts: of the sampled utterances.
        unshared: how many words of each sampled utterance no other speaker says (no other utterance, if there is
            one speaker or none is named).
    """

    name: str
    digest: str | None
    utterances: int
    seconds: float
    speakers: int
    words: dict[str, int]
    characters: str
    measures: dict[str, list[float]]
    speaker: list[int]
    texts: list[str]
    unshared: list[int]

    def as_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: str | Path) -> None:
        """Write JSON, about 150 bytes per sampled utterance and 15 per word of the vocabulary; texts, but no audio."""
        write_json(path, self.as_dict())

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what ``save`` wrote.

        Raises:
            UserError: it is not such a file.
        """
        try:
            if Path(path).exists() and not Path(path).is_file():  # it need not end
                raise ValueError("a pipe, a device or a folder")
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT}")
            found = cls(**content)
            columns = [found.speaker, found.texts, found.unshared, *(found.measures[name] for name in MEASURES)]
            if not found.texts or len({len(column) for column in columns}) != 1:
                raise ValueError("columns of different length")
            return found
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: not the statistics of a corpus ({type(error).__name__}: {error})") from None


def statistics_of(source: Path, lowercase: bool, *, splits: tuple[str, ...] | None = None) -> Statistics:
    """Measure a corpus; see ``open_source`` for the arguments. Saved statistics (``.json``) are read."""
    if source.suffix == ".json":
        return Statistics.load(source)
    from diminuendo.core.cores import available_cores

    opened = open_source(source, lowercase, splits)
    utterances = opened.utterances
    named = len({u.speaker for u in utterances} - {None})
    owners = [index if u.speaker is None else u.speaker for index, u in enumerate(utterances)]
    counts: Counter[str] = Counter()
    said_by: dict[str, Any] = {}  # None: several speakers
    for owner, utterance in zip(owners if named > 1 else range(len(utterances)), utterances):
        for word in (words := words_of(utterance.text)):
            if said_by.setdefault(word, owner) != owner:
                said_by[word] = None
        counts.update(words)
    chosen = _spread(len(utterances), SAMPLED)
    with ThreadPoolExecutor(available_cores()) as threads:  # decoding releases Python's lock
        rows = list(threads.map(_measured, (utterances[index] for index in chosen)))
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners[index] for index in chosen))}
    return Statistics(
        name=opened.name,
        digest=opened.digest,
        utterances=len(utterances),
        seconds=round(sum(u.duration for u in utterances), 3),
        speakers=named,
        words=dict(sorted(counts.items())),
        characters="".join(sorted(set().union(*(u.text for u in utterances)))),
        measures={name: [row[name] for row in rows] for name in MEASURES},
        speaker=[numbers[owners[index]] for index in chosen],
        texts=[utterances[index].text for index in chosen],
        unshared=[sum(said_by[w] is not None for w in words_of(utterances[index].text)) for index in chosen],
    )


def _measured(utterance: Spoken) -> dict[str, float]:
    from diminuendo.drift import signal

    samples, rate = utterance.read()
    seconds = len(samples) / rate
    found = {
        "duration": seconds,
        "level": signal.level(samples),
        "signal_to_noise": signal.signal_to_noise(samples, rate),
        "bandwidth": signal.bandwidth(samples, rate),
        "clipping": 100 * signal.clipping(samples),
        "speaking_rate": len(utterance.text.replace(" ", "")) / seconds,
    }
    return {name: float(f"{value:.5g}") for name, value in found.items()}  # five digits are enough


def _spread(total: int, wanted: int) -> list[int]:
    return list(range(total)) if total <= wanted else [index * total // wanted for index in range(wanted)]
