"""Batches of dummy speech as they arrive, whole or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.factories.audio import RATE, WORDS, spoken, write_manifest


def make_batch(
    folder: Path,
    records: int = 10,
    speakers: tuple[str, ...] = ("new-1", "new-2"),
    seed: int = 1,
    pitch: dict[str, int] | None = None,
    keys: dict[str, dict[str, Any]] | None = None,
    replace_words: dict[str, str] | None = None,
    words: int = 3,
) -> Path:
    """A batch of tone speech.

    Args:
        pitch: speaker to the number of the voice (see ``spoken``), 0 by default.
        keys: speaker to further keys of the lines.
        replace_words: what is written for a word that is said: wrong transcripts.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    lines = []
    for index in range(records):
        speaker = speakers[index % len(speakers)]
        said = [WORDS[i] for i in rng.integers(len(WORDS), size=words)]
        sound = spoken(" ".join(said), (pitch or {}).get(speaker, 0), rng)
        name = f"clips/{index:03d}.wav"
        (folder / "clips").mkdir(exist_ok=True)
        soundfile.write(folder / name, sound, RATE)
        lines.append(
            {
                "audio_filepath": name,
                "duration": len(sound) / RATE,
                "text": " ".join((replace_words or {}).get(word, word) for word in said),
                "speaker": speaker,
                **(keys or {}).get(speaker, {}),
            }
        )
    write_manifest(folder / "manifest.jsonl", lines)
    return folder
