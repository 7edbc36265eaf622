"""Sentences, voices and recording conditions of a synthetic corpus, all drawn from one seed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.config.corpus import SynthesisConfig
from diminuendo.core.errors import UserError
from diminuendo.data.audio import to_pcm16
from diminuendo.data.prepared import UNLABELLED
from diminuendo.synthesis.grammar import Grammar
from diminuendo.synthesis.noise import BABBLE_VOICES, COLORS, babble, colored_noise, mix
from diminuendo.synthesis.pool import Request, SynthesisPool
from diminuendo.synthesis.voices import SPLITS, Voice, load_voices

_DRAWS = 2000  # attempts at a new sentence before the grammar counts as exhausted
_RECENT = 32  # utterances that babble is made of
PLACES = (*SPLITS, UNLABELLED)  # their numbers are part of the seeds
_SHARES = {"test": 0.2, "dev": 0.1}  # of all sentences of the grammar; the rest is for train


@dataclass(frozen=True)
class PlannedUtterance:
    id: str
    text: str
    voice: Voice
    words_per_minute: int

    @property
    def request(self) -> Request:
        return Request(self.text, self.voice.espeak_name, self.words_per_minute, self.voice.pitch)


def plan(folder: Path, config: SynthesisConfig, seed: int) -> dict[str, list[PlannedUtterance]]:
    """Every utterance of every split: no sentence twice in the corpus, no voice in two splits.

    Unlabelled utterances have their own sentences, from train's share of the grammar, in the voices of train.

    Raises:
        UserError: bad ``grammar.yaml`` or ``voices.yaml``, or a grammar with too few sentences.
    """
    grammar = Grammar.load(folder / "grammar.yaml")
    voices = load_voices(folder / "voices.yaml", seed, config.pitch)
    sizes = {"train": config.train_utterances, "dev": config.dev_utterances, "test": config.test_utterances}
    planned = {
        split: _assign(split, _sentences(grammar, split, sizes[split], seed, folder), voices[split], config, seed)
        for split in SPLITS
    }
    if config.unlabelled_utterances:
        count = sizes["train"] + config.unlabelled_utterances
        further = _sentences(grammar, "train", count, seed, folder)[sizes["train"] :]
        planned[UNLABELLED] = _assign(UNLABELLED, further, voices["train"], config, seed)
    return planned


def split_of(sentence: str, seed: int) -> str:
    """The only split that may use this sentence; short patterns are divided in the same way as long ones."""
    place = int.from_bytes(hashlib.sha256(f"{seed}/{sentence}".encode()).digest()[:8]) / 2**64
    for split, share in _SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def _sentences(grammar: Grammar, split: str, count: int, seed: int, folder: Path) -> list[str]:
    rng = np.random.default_rng([seed, SPLITS.index(split), 1])
    chosen: dict[str, None] = {}
    while len(chosen) < count:
        for _ in range(_DRAWS):
            sentence = grammar.draw(rng)
            if sentence not in chosen and split_of(sentence, seed) == split:
                break
        else:
            raise UserError(
                f"{folder / 'grammar.yaml'}: {split}: after {len(chosen)} different sentences no new one was found "
                f"in {_DRAWS} draws; ask for fewer than {split}_utterances: {count} in the synthesis section "
                "(unlabelled_utterances add to train's), or add patterns and words to the grammar"
            )
        chosen[sentence] = None
    return list(chosen)


def _assign(
    split: str, sentences: list[str], voices: list[Voice], config: SynthesisConfig, seed: int
) -> list[PlannedUtterance]:
    rng = np.random.default_rng([seed, PLACES.index(split), 2])
    slow, fast = config.words_per_minute
    planned: list[PlannedUtterance] = []
    for index, sentence in enumerate(sentences):
        if index % len(voices) == 0:
            order = rng.permutation(len(voices))
        voice = voices[order[index % len(voices)]]
        planned.append(PlannedUtterance(f"{split}-{index:06d}", sentence, voice, int(rng.integers(slow, fast + 1))))
    return planned


def speak(
    planned: dict[str, list[PlannedUtterance]],
    config: SynthesisConfig,
    seed: int,
    pool: SynthesisPool,
    sample_rate: int,
) -> Iterator[tuple[str, PlannedUtterance, np.ndarray]]:
    """(split, utterance, int16 [N] with noise and level) for the whole plan, in order."""
    spoken = pool.speak(utterance.request for split in planned for utterance in planned[split])
    for split in planned:
        recent: deque[np.ndarray] = deque(maxlen=_RECENT)
        for index, utterance in enumerate(planned[split]):
            speech = next(spoken).astype(np.float32)
            rng = np.random.default_rng([seed, PLACES.index(split), 3, index])
            yield split, utterance, to_pcm16(_record(rng, speech, recent, config, sample_rate))
            recent.append(speech)


def _record(
    rng: np.random.Generator,
    speech: np.ndarray,
    recent: deque[np.ndarray],
    config: SynthesisConfig,
    sample_rate: int,
) -> np.ndarray:
    noise = None
    if rng.random() < config.noise_probability:
        kinds = [*COLORS, *(["babble"] if len(recent) >= BABBLE_VOICES else [])]
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind == "babble":
            noise = babble(rng, recent, len(speech))
        else:
            noise = colored_noise(rng, kind, len(speech), sample_rate)
    return mix(speech, noise, rng.uniform(*config.noise_snr_db), rng.uniform(*config.gain_db))
