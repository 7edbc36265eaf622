"""Whole audio files of every kind that is read, as bytes, and what goes wrong with them."""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import numpy as np
import soundfile

from diminuendo.data.reading.mpeg import parse

SECONDS = 2.0
KINDS = {
    "wav": ("WAV", "PCM_16", 16000, 1),
    "wav of 24 bits": ("WAVEX", "PCM_24", 22050, 2),
    "wav of floats": ("WAV", "FLOAT", 8000, 1),
    "wav of adpcm": ("WAV", "IMA_ADPCM", 16000, 1),
    "rf64": ("RF64", "PCM_16", 16000, 1),
    "w64": ("W64", "PCM_16", 16000, 1),
    "aiff": ("AIFF", "PCM_16", 16000, 1),
    "caf": ("CAF", "PCM_16", 16000, 1),
    "au": ("AU", "PCM_16", 16000, 1),
    "sphere": ("NIST", "PCM_16", 16000, 1),
    "flac": ("FLAC", "PCM_16", 16000, 1),
    "flac of 24 bits": ("FLAC", "PCM_24", 44100, 2),
    "vorbis": ("OGG", "VORBIS", 16000, 1),
    "opus": ("OGG", "OPUS", 16000, 1),
    "mp3": ("MP3", "MPEG_LAYER_III", 16000, 1),
    "mp3 of 44.1 kHz": ("MP3", "MPEG_LAYER_III", 44100, 2),
}
UNCOUNTED_MP3 = "mp3 without a count of frames"


def sound(seconds: float = SECONDS, rate: int = 16000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """float32 [n, channels]: a tone and some noise; the first fifth is quiet."""
    at = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal((len(at), channels))
    level = np.where(at < seconds / 5, 0.01, 1.0)[:, None]
    return (level * (0.3 * np.sin(2 * np.pi * 220 * at)[:, None] + 0.1 * noise)).astype(np.float32)


def written(samples: np.ndarray, rate: int, format_: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format_, subtype=subtype)
    return file.getvalue()


@lru_cache
def whole(kind: str, seconds: float = SECONDS) -> bytes:
    """A file of one of ``KINDS``, or an mp3 in which nothing counts its frames."""
    if kind == UNCOUNTED_MP3:
        counted = whole("mp3 of 44.1 kHz", seconds)
        return counted[parse(counted).size :]
    format_, subtype, rate, channels = KINDS[kind]
    return written(sound(seconds, rate, channels), rate, format_, subtype)


def mp3_frames(content: bytes) -> list[int]:
    """Where the frames of an mp3 without tags end."""
    ends = [0]
    while (header := parse(content[ends[-1] : ends[-1] + 4])) is not None:
        ends.append(ends[-1] + header.size)
    return ends[1:]


def wav_that_states(riff: int | None = None, data: int | None = None) -> bytes:
    """A wav of ``SECONDS`` with these sizes in its header."""
    content = bytearray(whole("wav"))
    if riff is not None:
        struct.pack_into("<I", content, 4, riff)
    if data is not None:
        struct.pack_into("<I", content, content.index(b"data") + 4, data)
    return bytes(content)


def flac_without_length() -> bytes:
    """As an encoder writes it to a pipe."""
    content = bytearray(whole("flac"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


def cancelling(factor: float = 0.999, share: float = 1.0) -> np.ndarray:
    """float32 [n, 2]: in so much of the sound the right channel is nearly the left one upside down."""
    left = sound()[:, 0]
    right = np.where(np.arange(len(left)) < share * len(left), -factor * left, left)
    return np.stack([left, right], axis=1)
