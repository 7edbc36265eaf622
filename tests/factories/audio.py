"""Dummy speech: every letter is a tone of its own, every speaker a little higher or lower. Learnable in a minute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from diminuendo.parameters import Params, parse_params

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("ab", "ba", "cab", "dad", "bed", "ace")
LETTERS = "abcde"
RATE = 8000
LETTER_SECONDS = 0.09
SPACE_SECONDS = 0.06


CHARACTERS = {"units": "characters", "vocab_size": 64}  # a few texts do not fill a vocabulary of sentencepiece


def dummy_params(**changes: Any) -> Params:
    """The repository's ``params.yaml`` with dotted keys changed: ``dummy_params(**{"data.source": "manifest"})``."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["text"] |= CHARACTERS
    for key, value in changes.items():
        section = raw
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return parse_params(raw)


def manifest_params(folder: Path, **changes: Any) -> Params:
    """Params whose source is the manifests in ``folder``, at the dummy corpus' rate."""
    ours = {
        "data.source": "manifest",
        "data.path": str(folder),
        "data.collected": str(ROOT / "corpora/collected"),
        "data.sample_rate": RATE,
        "data.min_seconds": 0.1,
        "frontend.high_hz": 3800.0,
        "frontend.mels": 24,
    }
    return dummy_params(**{**ours, **changes})


def spoken(text: str, speaker: int, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """float32 [N] of a text of letters a to e and spaces."""
    pieces = [np.zeros(round(0.05 * rate))]
    for letter in text:
        if letter == " ":
            pieces.append(np.zeros(round(SPACE_SECONDS * rate)))
            continue
        t = np.arange(round(LETTER_SECONDS * rate)) / rate
        hertz = (400 + 500 * LETTERS.index(letter)) * (1 + 0.02 * speaker)
        pieces.append(0.3 * np.sin(2 * np.pi * hertz * t) * np.hanning(len(t)))
    pieces.append(np.zeros(round(0.05 * rate)))
    sound = np.concatenate(pieces)
    return (sound + 0.003 * rng.standard_normal(len(sound))).astype(np.float32)


def dummy_corpus(
    folder: Path, utterances: int = 16, speakers: int = 4, rate: int = RATE, extension: str = "wav"
) -> Path:
    """Manifests and audio in ``folder``: ``utterances`` for train, a quarter of them (4 or more) for dev and for test.

    Train has ``speakers`` speakers, dev and test one each of their own. About 0.5 to 1 s per utterance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    fewer = max(4, utterances // 4)
    voices = {"train": range(speakers), "dev": [speakers], "test": [speakers + 1]}
    for split, count in {"train": utterances, "dev": fewer, "test": fewer}.items():
        lines = []
        for index in range(count):
            words = [WORDS[i] for i in rng.integers(len(WORDS), size=rng.integers(2, 4))]
            if split == "train" and index < len(WORDS):
                words[0] = WORDS[index]  # every letter is in train, however few utterances there are
            voice = voices[split][index % len(voices[split])]
            hiss = np.random.default_rng([7, index])  # of its own, so that the texts are the same at every rate
            sound = spoken(" ".join(words), voice, hiss, rate)
            name = f"{split}-{index:03d}.{extension}"
            soundfile.write(folder / name, sound, rate)
            lines.append(
                {
                    "audio_filepath": name,
                    "duration": len(sound) / rate,
                    "text": " ".join(words),
                    "id": f"{split}-{index:03d}",
                    "speaker": f"speaker{voice}",
                    "gender": ("female", "male")[voice % 2],
                    "accent": ("hills", "coast")[index % 2],
                }
            )
        write_manifest(folder / f"{split}.jsonl", lines)
    return folder


def prepare_corpus(params: Params, out: Path, **options: Any) -> None:
    """Stage prepare as a function; ``options`` are those of ``data.prepare.prepare``."""
    from diminuendo.data.prepare import prepare
    from diminuendo.synthesis.source import synthesize
    from stages.prepare import corpus_settings

    prepare(corpus_settings(params), out, synthesize, **options)


def dummy_prepared(folder: Path, utterances: int = 16, speakers: int = 4, **changes: Any) -> Path:
    """A prepared corpus in ``folder``; ``changes`` are dotted keys of ``params.yaml``, such as ``text.units``."""
    source = dummy_corpus(folder.with_name(f"{folder.name}-source"), utterances, speakers)
    folder.mkdir(parents=True)
    prepare_corpus(
        manifest_params(source, **changes),
        folder,
        workers=1,
        say=lambda _line: None,
        report=source / "problems.txt",
    )
    return folder


def write_manifest(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read_manifest(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tone(hertz, rate, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


def strongest(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * rate / len(samples), 20 * np.log10(spectrum.max() / (len(samples) / 4))
