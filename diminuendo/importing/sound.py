"""Audio of an utterance: left where it is, or written beside the manifests where no manifest can name it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.reader import open_recording
from diminuendo.importing.utterance import Sound, Unusable

FOLDER = "audio"  # beside the manifests
_IN_A_FOLDER = 1000  # files
_KEPT_AS_THEY_ARE = {"WAV": "wav", "WAVEX": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3", "MPEG": "mp3"}
_NO_AUDIO = "audio that cannot be decoded; expected wav, flac, ogg, opus or mp3"
_BEYOND = 0.1  # s by which a piece may end after its file; it is cut there


@dataclass(frozen=True)
class Kept:
    """Where the audio is now: ``path`` is absolute, or relative to the folder of the manifests.

    ``offset`` (s) is None for a whole file; ``duration`` is in seconds, ``rate`` in Hz.
    """

    path: Path
    offset: float | None
    duration: float
    rate: int


def keep(sound: Sound, folder: Path, number: int) -> Kept:
    """Look at the header of a file, or write audio that is in none (``number`` names it).

    Args:
        folder: of the manifests.
    Raises:
        Unusable: it is no audio, or does not reach as far as the source says.
    """
    if sound.path is None:
        return _written(sound.read(), folder, number)
    frames, rate, channels = _header(sound.path)
    total = frames / rate
    offset, duration = sound.offset, total
    if offset is not None:
        if offset >= total:
            raise Unusable("a piece beyond the end of its file", f"{sound.path}: from {offset:g} s of {total:.3f} s")
        duration = total - offset if sound.duration is None else sound.duration
        if offset + duration > total + _BEYOND:
            over = offset + duration - total
            raise Unusable("a piece beyond the end of its file", f"{sound.path}: ends {over:.3f} s after the file")
        duration = min(duration, total - offset)
    outside = sound.channel is not None and not 0 <= sound.channel < channels
    if outside and not (channels == 1 and sound.cut_out):
        said = f"channel {sound.channel} (from 0) of {channels}"
        raise Unusable("a channel that the file does not have", f"{sound.path}: {said}")
    if sound.channel is None or channels == 1:
        return Kept(sound.path, offset, round(duration, 6), rate)
    try:
        with soundfile.SoundFile(sound.path) as file:
            file.seek(round((offset or 0.0) * rate))
            samples = file.read(round(duration * rate), dtype="float32", always_2d=True)[:, sound.channel]
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise _not_audio(str(sound.path), error) from None
    return _write_samples(samples, rate, folder, number)


@lru_cache(maxsize=256)  # many pieces of one file follow each other
def _header(path: Path) -> tuple[int, int, int]:
    """Frames, rate in Hz, channels."""
    return _whole(path, str(path))


def _whole(source: Path | io.BytesIO, what: str) -> tuple[int, int, int]:
    """Frames, rate in Hz and channels of audio that is neither cut nor damaged."""
    try:
        with open_recording(source, what) as recording:
            for remark in recording.remarks:
                if remark.refused:
                    raise Unusable(remark.kind, f"{what}: {remark.message}")
            return recording.frames, recording.rate, recording.channels
    except Unreadable as error:
        if error.kind == "empty audio":
            raise Unusable("audio without samples", str(error)) from None
        raise Unusable(_NO_AUDIO, str(error)) from None


def _written(content: bytes | tuple[np.ndarray, int], folder: Path, number: int) -> Kept:
    """Encoded audio is kept to the byte, where it is in a format that is read; all else becomes FLAC or WAV."""
    if not isinstance(content, bytes):
        samples, rate = content
        return _write_samples(samples, rate, folder, number)
    try:
        found = soundfile.info(io.BytesIO(content))
        suffix = _KEPT_AS_THEY_ARE.get(found.format)
        if suffix is None:
            samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
            return _write_samples(samples, rate, folder, number)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise _not_audio("the bytes of the row", error) from None
    frames, rate, _ = _whole(io.BytesIO(content), "the bytes of the row")
    path = _free(folder, number, suffix)
    (folder / path).write_bytes(content)
    return Kept(path, None, round(frames / rate, 6), rate)


def _write_samples(samples: np.ndarray, rate: int, folder: Path, number: int) -> Kept:
    """16-bit FLAC where 16 bits hold the samples exactly, otherwise WAV of floats: nothing is lost or clipped."""
    if samples.ndim > 1 and samples.shape[0] < samples.shape[-1] <= samples.size:  # [channels, N], as some store it
        samples = samples.T
    if not samples.size:
        raise Unusable("audio without samples")
    exact = samples.dtype == np.int16
    if not exact:
        scaled = samples * 32768.0
        exact = bool(np.isfinite(scaled).all() and (scaled == np.rint(scaled)).all() and np.abs(scaled).max() < 32768)
    path = _free(folder, number, "flac" if exact else "wav")
    try:
        soundfile.write(folder / path, samples, rate, subtype="PCM_16" if exact else "FLOAT")
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise _not_audio(f"samples at {rate} Hz", error) from None
    return Kept(path, None, round(len(samples) / rate, 6), rate)


def _free(folder: Path, number: int, suffix: str) -> Path:
    path = Path(FOLDER) / f"{number // _IN_A_FOLDER:04d}" / f"{number:07d}.{suffix}"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    return path


def _not_audio(what: str, error: Exception) -> Unusable:
    reason = getattr(error, "error_string", None) or str(error)
    return Unusable(_NO_AUDIO, f"{what}: {reason.strip()}")
