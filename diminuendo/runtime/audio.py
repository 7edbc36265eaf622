"""Audio files of any length, rate and channel count as a stream of mono blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.data.resample import Resampler

BLOCK_SECONDS = 10.0
PIPE_SECONDS = 0.1  # for a pipe: a block must arrive before it can be read


def read_blocks(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Blocks float32 [n] of the file's audio, channels averaged, at ``sample_rate``; one block is in memory at a time.

    Raises:
        UserError: the file is missing, is not audio that libsndfile reads, or holds samples that are not finite.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder, expected an audio file")
    if not path.exists():
        raise UserError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes), expected audio")
    try:
        file = soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        known = "wav, flac, ogg, opus and mp3 can"
        raise UserError(f"{path}: not audio that can be read ({_reason(error)}); {known}") from error
    resampler = Resampler(file.samplerate, sample_rate)
    for block in _mono(file, str(path), BLOCK_SECONDS):
        yield resampler.push(block)
    yield resampler.finish()


def read_pipe(descriptor: int, raw_rate: int | None = None) -> tuple[int, Iterator[np.ndarray]]:
    """Sample rate and mono blocks float32 [n] of a wav from a pipe; each block is given as soon as it arrives.

    Args:
        descriptor: the file descriptor of a file or pipe.
        raw_rate: Hz, for 16-bit little-endian samples of one channel without a header.

    Raises:
        UserError: the input is not audio, is truncated, or has samples that are not finite.
    """
    raw = {"samplerate": raw_rate, "channels": 1, "format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"}
    try:
        file = soundfile.SoundFile(descriptor, closefd=False, **(raw if raw_rate else {}))
    except (soundfile.LibsndfileError, OSError) as error:
        known = "a wav through a pipe, or --raw HERTZ for bare samples"
        raise UserError(f"standard input: not audio that can be read ({_reason(error)}); expected {known}") from error

    return file.samplerate, _mono(file, "standard input", PIPE_SECONDS)


def checked(samples: np.ndarray) -> np.ndarray:
    """A caller's waveform float [n] as contiguous float32 [n].

    Raises:
        UserError: it is not an array of floating-point numbers, has more than one dimension, or a sample is not finite.
    """
    if not isinstance(samples, np.ndarray) or not np.issubdtype(samples.dtype, np.floating) or samples.ndim != 1:
        is_array = isinstance(samples, np.ndarray)
        found = f"an array {list(samples.shape)} of {samples.dtype}" if is_array else f"a {type(samples).__name__}"
        raise UserError(f"waveform: {found}, expected one channel: a NumPy array [n] of floats, −1 to 1")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are found below
        samples = np.ascontiguousarray(samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        at = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise UserError(f"waveform: sample {at} is not a finite number, expected one channel of finite samples")
    return samples


def _mono(file: soundfile.SoundFile, name: str, seconds: float) -> Iterator[np.ndarray]:
    """Blocks float32 [n] of the given length, channels averaged, at the file's rate; the file is closed at its end."""
    position = 0
    with file:
        while True:
            at = position / file.samplerate
            try:
                block = file.read(max(1, int(seconds * file.samplerate)), dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, OSError) as error:
                raise UserError(f"{name}: damaged after {at:.2f} s of audio ({_reason(error)})") from error
            if not len(block):
                break
            mono = block.mean(axis=1)
            if not np.isfinite(mono).all():
                at += int(np.flatnonzero(~np.isfinite(mono))[0]) / file.samplerate
                problem = f"holds a sample that is not a finite number, at {at:.3f} s"
                raise UserError(f"{name}: {problem}; export the audio again")
            position += len(block)
            yield mono


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
