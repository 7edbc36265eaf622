"""What a shipped file writes for the utterances of a corpus, and which of it is good enough to learn from."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from diminuendo.artifact.lineage import LABELS
from diminuendo.core.files import json_text, write_json, write_text
from diminuendo.core.sealed import read_sealed, write_sealed
from diminuendo.labelling.config import LabelConfig
from diminuendo.labelling.spoken import spoken
from diminuendo.metrics.error_rates import character_error_rate, word_error_rate
from diminuendo.metrics.unit import CHARACTERS, unit_of

if TYPE_CHECKING:
    import numpy as np

    from diminuendo.data.prepared import PreparedCorpus, Utterance

SUMMARY = "summary.json"
SPLITS = ("train", "unlabelled", "dev")  # never test: nothing is to be learned from it
CHUNK = 50  # utterances between two looks at whether a run was interrupted
HEARD_AGAIN = "these utterances are heard again"


class Writer(Protocol):
    """What writes texts, such as a ``runtime.recognizer.Recognizer``."""

    def scored_text(self, waveform: np.ndarray) -> tuple[str, float]:
        """The text of float32 [N], and the mean log-probability of its tokens."""


@dataclass(frozen=True)
class Measure:
    """How a written text is held against what the corpus says was said: its words, or its characters.

    Attributes:
        lowercase: in which language, see ``data.text.normalize``.
        characters: are counted in place of words, in scripts without spaces.
    """

    lowercase: bool | str = True
    characters: bool = False

    @classmethod
    def of(cls, corpus: PreparedCorpus) -> Measure:
        """That of a corpus, by its parameters and the texts of its dev split."""
        lowercase = corpus.summary["parameters"]["text"]["lowercase"]
        texts = (utterance.text or "" for utterance in corpus.split("dev"))
        # A written text may have capitals where the corpus has its own: without its language they are not compared.
        return cls(lowercase or True, unit_of("auto", texts) is CHARACTERS)

    def error_rate(self, reference: str, text: str) -> float:
        """Of the spoken part of a text, in words or in characters."""
        count = character_error_rate if self.characters else word_error_rate
        return count([spoken(reference, self.lowercase)], [spoken(text, self.lowercase)])


DEFAULT = Measure()


@dataclass(frozen=True)
class Label:
    """The teacher's text of an utterance.

    Attributes:
        log_prob: mean over its tokens.
        rejected: why nobody learns from it; None: it is kept.
    """

    split: str
    id: str
    text: str
    log_prob: float
    rejected: str | None = None


def label_corpus(
    writer: Writer,
    corpus: PreparedCorpus,
    config: LabelConfig,
    out: Path,
    work: Path,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write ``labels.jsonl`` and ``summary.json`` into ``out``; returns the content of the latter.

    Args:
        work: a folder that outlives a kill: what was heard before is taken from there.
    """
    labels: list[Label] = []
    measure = Measure.of(corpus)
    for split in SPLITS:
        found = list(_of_split(writer, corpus, split, config, measure, work, say))
        kept = sum(label.rejected is None for label in found)
        if found:
            reasons = "; ".join(f"{why}: {count}" for why, count in _reasons(found).items())
            say(f"{split}: {kept} of {len(found)} texts are kept{f' ({reasons})' if reasons else ''}")
        labels += found
    write_text(out / LABELS, "".join(f"{json.dumps(asdict(label), ensure_ascii=False)}\n" for label in labels))
    summary: dict[str, Any] = {}
    for split in SPLITS:
        own = [label for label in labels if label.split == split]
        summary[split] = {"utterances": len(own), "rejected": _reasons(own)}
    write_json(out / SUMMARY, summary)
    return summary


def read_labels(folder: Path) -> list[Label]:
    """What :func:`label_corpus` wrote."""
    lines = (folder / LABELS).read_text(encoding="utf-8").splitlines()
    return [Label(**json.loads(line)) for line in lines]


def _reasons(labels: Iterable[Label]) -> dict[str, int]:
    reasons = [label.rejected for label in labels if label.rejected is not None]
    return {why: reasons.count(why) for why in sorted(set(reasons))}


def _of_split(
    writer: Writer,
    corpus: PreparedCorpus,
    split: str,
    config: LabelConfig,
    measure: Measure,
    work: Path,
    say: Callable[[str], None],
) -> Iterator[Label]:
    utterances = corpus.unlabelled if split == "unlabelled" else corpus.split(split)
    if split == "train" and config.utterances is not None and config.utterances < len(utterances):
        count, all_of_them = config.utterances, utterances
        utterances = [all_of_them[index * len(all_of_them) // count] for index in range(count)]
    for number, chunk in enumerate(_chunks(utterances)):
        path = work / f"{split}-{number:05d}.json"
        stored = read_sealed(path, HEARD_AGAIN)
        if stored is None:
            heard = [_heard(writer, corpus, utterance) for utterance in chunk]
            write_sealed(path, json_text(heard).encode())
            say(f"{split}: {number * CHUNK + len(chunk)} of {len(utterances)} utterances heard")
        else:
            heard = json.loads(bytes(stored))
        for utterance, (text, log_prob) in zip(chunk, heard, strict=True):
            yield Label(split, utterance.id, text, log_prob, rejection(text, log_prob, utterance.text, config, measure))


def _chunks(utterances: Sequence[Utterance]) -> Iterable[Sequence[Utterance]]:
    return (utterances[at : at + CHUNK] for at in range(0, len(utterances), CHUNK))


def _heard(writer: Writer, corpus: PreparedCorpus, utterance: Utterance) -> tuple[str, float]:
    text, log_prob = writer.scored_text(corpus.audio(utterance))
    return text, round(log_prob, 4)


def rejection(
    text: str, log_prob: float, reference: str | None, config: LabelConfig, measure: Measure = DEFAULT
) -> str | None:
    """Why a text is not learned from; None: it is."""
    if not text:
        return "no text"
    if config.min_log_prob is not None and log_prob < config.min_log_prob:
        return "unlikely"
    content = text.encode()
    if config.max_compression is not None and len(content) / len(zlib.compress(content)) > config.max_compression:
        return "repeats itself"
    if config.max_wer is None or reference is None:
        return None
    return "not what was said" if measure.error_rate(reference, text) > config.max_wer else None
