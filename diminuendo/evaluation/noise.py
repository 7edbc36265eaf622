"""Test utterances with noise, noise alone, and silence: what a recogniser hears where people use it.

Every draw is seeded by ``seed`` and the utterance's id. So a clip is the same for every member and in every evaluation,
whatever else is in the test set's order, and an utterance has the same noise at every signal-to-noise ratio.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.evaluation import NoiseConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, sha256_of
from diminuendo.data.audio import read_part
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.data.reading.reader import open_recording
from diminuendo.data.resample import resample
from diminuendo.synthesis.noise import BABBLE_VOICES, COLORS, babble, colored_noise, unit_power

NOISE, SILENCE = "noise", "silence"  # the conditions without speech
BABBLE = "babble"
AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3")
QUIET_DB = (-90.0, -45.0)  # of full scale: a room in which nobody speaks
DIGITAL_SILENCE = 0.25  # share of the silent clips in which every sample is zero
LOUDEST = 0.99


@dataclass(frozen=True)
class Clip:
    """What is recognised. ``condition``: a name of ``condition_names``. ``waveform``: float32 [N] in −1..1."""

    condition: str
    utterance: Utterance
    waveform: np.ndarray

    @property
    def reference(self) -> str:
        return "" if self.condition in (NOISE, SILENCE) else self.utterance.text or ""


def snr_name(snr_db: float) -> str:
    """Name of a condition: ``snr_10``."""
    return f"snr_{snr_db:g}"


def condition_names(config: NoiseConfig) -> list[str]:
    return [*map(snr_name, config.snr_db), NOISE, SILENCE]


def record_of(config: NoiseConfig, seed: int) -> dict[str, Any]:
    """All that the clips of a corpus depend on besides the code.

    Raises:
        UserError: there are no recordings where ``recordings`` says.
    """
    found = None
    if config.recordings is not None:
        files = recordings_in(config.recordings)
        digests = [[path.relative_to(config.recordings).as_posix(), sha256_of(path)] for path in files]
        found = {"files": len(files), "digest": digest_of_json(digests)}
    return {"snr_db": list(config.snr_db), "utterances": config.utterances, "recordings": found, "seed": seed}


def recordings_in(folder: str) -> list[Path]:
    """The audio files of a folder and of those in it, in order.

    Raises:
        UserError: there are none.
    """
    if not Path(folder).is_dir():
        raise UserError(
            f"evaluate.noise.recordings: there is no folder {folder}; paths are seen from the repository's root. Put "
            "recordings of noise there, or give null for noise that is computed"
        )
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO and path.is_file())
    if not files:
        raise UserError(
            f"evaluate.noise.recordings: no audio in {folder}; expected files that end in {', '.join(AUDIO)}"
        )
    return files


def chosen(corpus: PreparedCorpus, count: int, seed: int) -> np.ndarray:
    """Indices int64 [at most ``count``] of the test utterances that are tried, in the order of test.

    Only utterances with words are, and which ones depends on their ids and the seed alone.
    """
    spoken = [index for index, utterance in enumerate(corpus.test) if utterance.text]
    drawn = sorted(spoken, key=lambda index: _seed(seed, "chosen", corpus.test[index].id))[:count]
    return np.array(sorted(drawn), dtype=np.int64)


def clips_of(corpus: PreparedCorpus, config: NoiseConfig, seed: int) -> Iterator[Clip]:
    """The clips of every condition of ``condition_names``, each with the chosen utterances in the order of test.

    Raises:
        UserError: a recording cannot be read.
    """
    utterances = [corpus.test[index] for index in chosen(corpus, config.utterances, seed)]
    source = _Source(corpus, config, seed)
    for snr_db in config.snr_db:
        for utterance in utterances:
            speech = corpus.audio(utterance)
            noise = source.noise(utterance, len(speech))
            yield Clip(snr_name(snr_db), utterance, mixed(speech, noise, snr_db))
    for utterance in utterances:
        speech = corpus.audio(utterance)
        noise = source.noise(utterance, len(speech), voices=False)
        yield Clip(NOISE, utterance, _limited(noise * _scale(speech, noise, min(config.snr_db))))
    for utterance in utterances:
        yield Clip(SILENCE, utterance, silence(len(corpus.audio(utterance)), source.generator(SILENCE, utterance)))


def mixed(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech with noise ``snr_db`` below it, over the whole utterance; made softer where it would clip.

    Args:
        speech, noise: float32 [N]; silence on either side adds nothing.
    """
    return _limited(speech + noise * _scale(speech, noise, snr_db))


def silence(count: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [count]: the faint white noise of a quiet room or, now and then, exact zeros."""
    level, nothing = 10 ** (rng.uniform(*QUIET_DB) / 20), rng.random() < DIGITAL_SILENCE
    return np.zeros(count, np.float32) if nothing else np.float32(level) * rng.standard_normal(count, dtype=np.float32)


def _scale(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.float32:
    """What noise is multiplied by to be ``snr_db`` below speech."""
    signal, other = (float(np.mean(np.square(one, dtype=np.float64))) for one in (speech, noise))
    return np.float32(np.sqrt(signal / other) * 10 ** (-snr_db / 20)) if other > 0 else np.float32(0)


def _limited(waveform: np.ndarray) -> np.ndarray:
    peak = float(np.abs(waveform).max(initial=0.0))
    return waveform * np.float32(LOUDEST / peak) if peak > LOUDEST else waveform


def _seed(seed: int, purpose: str, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).digest()[:16])


class _Source:
    """Noise for utterances of a corpus."""

    def __init__(self, corpus: PreparedCorpus, config: NoiseConfig, seed: int) -> None:
        self.corpus, self.seed = corpus, seed
        self.recordings = [] if config.recordings is None else recordings_in(config.recordings)
        self.spoken = [utterance for utterance in corpus.test if utterance.text]

    def generator(self, purpose: str, utterance: Utterance) -> np.random.Generator:
        return np.random.default_rng(_seed(self.seed, purpose, utterance.id))

    def noise(self, utterance: Utterance, count: int, voices: bool = True) -> np.ndarray:
        """float32 [count] of unit power.

        Args:
            voices: whether it may be babble, in which there are words.
        """
        rng = self.generator(NOISE, utterance)
        if self.recordings:
            return unit_power(self._recorded(rng, count))
        others = self._others(utterance) if voices else []
        kinds = [*COLORS, *([BABBLE] if len(others) >= BABBLE_VOICES else [])]
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind != BABBLE:
            return colored_noise(rng, kind, count, self.corpus.sample_rate)
        drawn = rng.choice(len(others), BABBLE_VOICES, replace=False)
        return babble(rng, [self.corpus.audio(others[index]) for index in drawn], count)

    def _others(self, utterance: Utterance) -> list[Utterance]:
        """What others say; where speakers are not known, the other utterances."""
        return [
            other
            for other in self.spoken
            if other.id != utterance.id and (other.speaker is None or other.speaker != utterance.speaker)
        ]

    def _recorded(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """A part of a recording from a random point on; one that is too short is repeated."""
        path = self.recordings[int(rng.integers(len(self.recordings)))]
        rate = self.corpus.sample_rate
        try:
            with open_recording(path) as recording:
                start = float(rng.random()) * max(0.0, recording.seconds - count / rate)
                audio = read_part(recording, start, count / rate)
        except UserError as error:
            raise UserError(f"evaluate.noise.recordings: {error}") from error
        samples, found = audio.samples, audio.rate
        samples = resample(samples, found, rate)
        if not len(samples) or not np.isfinite(samples).all():
            raise UserError(f"evaluate.noise.recordings: {path}: has no samples, or some that are no numbers")
        return np.resize(samples, count)
