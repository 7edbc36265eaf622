"""What training has already: the split of each speaker, the recordings and the characters."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from diminuendo.data.manifest_splits import read_collected, read_splits
from diminuendo.data.prepared import CHECKPOINT, SPLITS, PreparedCorpus
from diminuendo.data.text import Tokenizer
from diminuendo.data.validation import Problems
from diminuendo.parameters.schema import Params

SAMPLES = "samples"  # key of a collected line: SHA-256 of the recording as 16-bit samples at data.sample_rate


@dataclass
class Known:
    """Grows while batches are collected.

    Attributes:
        speakers: speaker to the split that the speaker belongs to.
        recordings: SHA-256 of 16-bit samples to a few words on where they are.
        characters: those that occur in the texts of train.
        foreign: the tokenizer of a pretrained teacher's own head, whose vocabulary no text can add to.
        learned: whether the corpus' own tokens are learned from train, and are not the checkpoint's.
    """

    speakers: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    characters: set[str] = field(default_factory=set)
    foreign: Tokenizer | None = None
    learned: bool = True

    def copy(self) -> Known:
        own = dict(self.speakers), dict(self.recordings), set(self.ids), set(self.characters)
        return Known(*own, self.foreign, self.learned)

    def strange_to(self, text: str, split: str) -> list[str]:
        """Characters of a text that no model of the family could write."""
        strange = set(self.foreign.unknown_characters(text)) if self.foreign is not None else set()
        if self.learned and split != "train":
            strange |= set(text) - self.characters - {" "}
        return sorted(strange)


def digest_of_samples(samples) -> str:
    """SHA-256 of int16 [N]."""
    return hashlib.sha256(samples.tobytes()).hexdigest()


def read_known(params: Params, prepared: Path) -> Known:
    """The content of the prepared corpus, and what else the manifests that it was made from name.

    Raises:
        UserError: the prepared corpus or a manifest is missing or damaged.
    """
    import soundfile

    known = Known()
    corpus = PreparedCorpus.open(prepared)
    known.learned = params.text.units != "checkpoint"
    if params.teacher.has_own_tokens:
        vocabulary = CHECKPOINT if known.learned else ""
        known.foreign = PreparedCorpus(prepared, corpus.summary, vocabulary).tokenizer
    for split in SPLITS:
        utterances = corpus.split(split)
        for path in dict.fromkeys(u.audio_filepath for u in utterances):
            samples, rate = soundfile.read(prepared / path, dtype="int16")
            for utterance in (u for u in utterances if u.audio_filepath == path):
                first = round(utterance.offset * rate)
                piece = samples[first : first + round(utterance.duration * rate)]
                known.recordings.setdefault(digest_of_samples(piece), f"{utterance.id} in {split}")
        known.ids |= {u.id for u in utterances}
        known.speakers |= {u.speaker: split for u in utterances if u.speaker is not None}
        if split == "train":
            known.characters |= {character for u in utterances for character in u.text}
    # A speaker without an utterance in the prepared corpus still belongs to a split.
    problems = Problems()  # `prepare` reports a bad source
    lowercase, collected = params.text.lowercase, Path(params.data.collected)
    named = [read_collected(collected, lowercase, problems)] if collected.is_dir() else []
    if params.data.source == "manifest":
        folder = Path(params.data.path)
        named.append(read_splits(folder, lowercase, params.data.dev_fraction, params.seed, problems))
    for splits in named:
        for split, entries in splits.items():
            known.ids |= {entry.id for entry in entries}
            known.speakers |= {entry.speaker: split for entry in entries if entry.speaker is not None}
            for entry in entries:
                if SAMPLES in entry.keys:
                    known.recordings.setdefault(entry.keys[SAMPLES], f"{entry.id} in {split}")
    return known


def split_of(speaker: str | None, known: Known, dev: float, test: float, seed: int) -> str:
    """The split of a speaker; for a new one it follows from a hash of name and seed, so it never changes.

    Args:
        speaker: None for a recording without a name, which goes to train.
        dev, test: shares of new speakers.
    """
    if speaker is None:
        return "train"
    if speaker in known.speakers:
        return known.speakers[speaker]
    drawn = int.from_bytes(hashlib.sha256(json.dumps([seed, speaker]).encode()).digest()[:8], "big") / 2**64
    return "test" if drawn < test else "dev" if drawn < test + dev else "train"
