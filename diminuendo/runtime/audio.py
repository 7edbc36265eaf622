"""Audio files and pipes of any length, rate and channel count as a stream of mono blocks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.data.reading.levels import Levels
from diminuendo.data.reading.reader import RATES, open_recording
from diminuendo.data.reading.remark import TRUNCATED, UNCOUNTED, Remark
from diminuendo.data.resample import Resampler, costs_too_much

PIPE_SECONDS = 0.1  # for a pipe: a block must arrive before it can be read
_STANDARD_INPUT = "standard input"
_PIPED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "RAW")  # whose headers say how much must come
_UNKNOWN_BYTES = 0x7FFFE000  # sizes from here on are what programs write to a pipe

Tell = Callable[[Remark], None]


def read_blocks(path: str | Path, sample_rate: int, tell: Tell | None = None) -> Iterator[np.ndarray]:
    """Blocks float32 [n] of the file's audio, channels averaged, at ``sample_rate``; one block is in memory at a time.

    Args:
        tell: takes what is to say of the recording, such as that it was cut; all of it before the iteration ends.

    Raises:
        UserError: the file is missing, is not audio that can be read, or holds samples that are none.
    """
    with open_recording(path) as recording:
        resampler = _resampler(recording.rate, sample_rate, recording.name)
        for block in recording.blocks():
            yield resampler.push(block)
        for remark in recording.remarks if tell else ():
            tell(remark)
    yield resampler.finish()


def read_pipe(
    descriptor: int, raw_rate: int | None = None, tell: Tell | None = None
) -> tuple[int, Iterator[np.ndarray]]:
    """Sample rate and mono blocks float32 [n] of a wav from a pipe; each block is given as soon as it arrives.

    A file in place of the pipe is read as a file is.

    Args:
        descriptor: the file descriptor of a file or pipe.
        raw_rate: Hz, for 16-bit little-endian samples of one channel without a header.
        tell: takes what is to say of the audio, at its end.

    Raises:
        UserError: the input is not audio, is damaged, or has samples that are none.
    """
    tell = tell or (lambda remark: None)
    if raw_rate is None and _is_whole_file(descriptor):
        return _read_open_file(descriptor, tell)
    raw = {"samplerate": raw_rate, "channels": 1, "format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"}
    try:
        file = soundfile.SoundFile(descriptor, closefd=False, **(raw if raw_rate else {}))
    except (soundfile.LibsndfileError, OSError) as error:
        known = "a wav through a pipe, or --raw HERTZ for bare samples"
        raise UserError(
            f"{_STANDARD_INPUT}: not audio that can be read ({_reason(error)}); expected {known}"
        ) from error
    if file.format not in _PIPED:
        problem = f"{file.format.lower()} in a pipe cannot be told whole from cut"
        raise UserError(f"{_STANDARD_INPUT}: {problem}; give the file itself, or send a wav")
    if file.samplerate not in RATES:
        expected = f"expected {RATES[0]} to {RATES[-1]}"
        raise UserError(f"{_STANDARD_INPUT}: its header says {file.samplerate} Hz, {expected}")
    return file.samplerate, _piped(file, descriptor, tell)


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


def _is_whole_file(descriptor: int) -> bool:
    """Whether it is a file from its beginning on."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.lseek(descriptor, 0, os.SEEK_CUR) == 0


def _read_open_file(descriptor: int, tell: Tell) -> tuple[int, Iterator[np.ndarray]]:
    file = os.fdopen(descriptor, "rb", closefd=False)
    if not os.fstat(descriptor).st_size:
        raise UserError(f"{_STANDARD_INPUT}: no audio came")
    recording = open_recording(file, _STANDARD_INPUT)

    def blocks() -> Iterator[np.ndarray]:
        with file, recording:
            yield from recording.blocks(PIPE_SECONDS)
            for remark in recording.remarks:
                tell(remark)

    return recording.rate, blocks()


def _piped(file: soundfile.SoundFile, descriptor: int, tell: Tell) -> Iterator[np.ndarray]:
    """Blocks float32 [n], channels averaged, at the pipe's rate."""
    levels = Levels(_STANDARD_INPUT, file.samplerate)
    with file:
        while True:
            try:
                block = file.read(max(1, int(PIPE_SECONDS * file.samplerate)), dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, OSError) as error:
                at = levels.samples / file.samplerate
                raise UserError(f"{_STANDARD_INPUT}: damaged after {at:.2f} s of audio ({_reason(error)})") from error
            if not len(block):
                break
            with np.errstate(invalid="ignore", over="ignore"):  # values that are no audio are found by the levels
                mono = block.mean(axis=1)
            levels.look(block, mono)
            yield mono
        promised, width = file.frames, _bytes_of_a_sample(file)
    for remark in (*_end_of_pipe(levels.samples, promised, width, descriptor), *levels.remarks()):
        tell(remark)


def _end_of_pipe(heard: int, promised: int, width: int, descriptor: int) -> Iterator[Remark]:
    """Whether as much came as the header promised, if it promised anything, and whether more came."""
    unknown = promised * width >= _UNKNOWN_BYTES
    if heard < promised and not unknown:
        yield Remark(TRUNCATED, f"cut short: {heard} of the {promised} samples came that its header counts")
    rest = os.read(descriptor, 1 << 16)
    if len(rest) >= 8 and rest.strip(b"\0") and not all(32 <= byte < 127 for byte in rest[:4]):
        yield Remark(UNCOUNTED, f"its header counts {promised} samples, and what came after them is not heard")


def _bytes_of_a_sample(file: soundfile.SoundFile) -> int:
    bits = {"PCM_S8": 8, "PCM_U8": 8, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}.get(file.subtype, 16)
    return bits // 8 * file.channels


def _resampler(rate: int, new_rate: int, name: str) -> Resampler:
    if costs_too_much(rate, new_rate):
        raise UserError(f"{name}: {rate} Hz has too little in common with {new_rate} Hz; convert it to a usual rate")
    return Resampler(rate, new_rate)


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
