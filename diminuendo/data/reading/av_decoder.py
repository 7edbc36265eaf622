"""PyAV (FFmpeg) as a decoder for what libsndfile does not read: m4a, webm, aac and others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.remark import READER, TRUNCATED, Remark

_STATE_A_LENGTH = {"mp4", "m4a", "mov", "matroska", "webm", "asf"}  # of others FFmpeg estimates it
_SLACK_SECONDS = 0.1  # by which a stated length may differ: codecs pad


class AvDecoder:
    """The first audio stream of a file; it is decoded once to find its length, and once more to be read.

    Args:
        remarks: where it is said that PyAV reads the file, and whether it is whole.

    Raises:
        Unreadable: FFmpeg knows no audio in it.
    """

    def __init__(self, path: Path, name: str, remarks: list[Remark]) -> None:
        self._path = path  # opened by us: FFmpeg takes no name that is not UTF-8
        try:
            with open(self._path, "rb") as file, av.open(file) as container:
                if not container.streams.audio:
                    raise Unreadable("not audio", f"{name}: FFmpeg finds no audio in it")
                stream = container.streams.audio[0]
                self.samplerate, self.channels = stream.rate, stream.channels
                formats = set(container.format.name.split(","))
                stated = container.duration / av.time_base if container.duration else 0.0
            self.frames, self._whole = 0, True
            for block in self._frames():
                self.frames += len(block)
        except (av.FFmpegError, OSError) as error:
            raise Unreadable(
                "not audio", f"{name}: not audio that can be read, it cannot be decoded ({error})"
            ) from error
        self._rest = self._frames()
        self._ready = np.zeros((0, self.channels), np.float32)
        remarks.append(Remark(READER, f"read by PyAV {av.__version__} (FFmpeg), which libsndfile cannot read"))
        heard = self.frames / self.samplerate
        if not self._whole or (formats & _STATE_A_LENGTH and stated - heard > _SLACK_SECONDS):
            of = f" of {stated:.2f} s" if formats & _STATE_A_LENGTH and stated > heard else ""
            remarks.append(Remark(TRUNCATED, f"damaged or cut short: {heard:.2f} s{of} could be decoded"))

    def seek(self, frames: int) -> int:
        """To a sample from the beginning."""
        self._rest, self._ready = self._frames(), self._ready[:0]
        left = frames
        while left and len(block := self.read(min(left, 1 << 20))):
            left -= len(block)
        return frames - left

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples float32 [n, channels], fewer at the end."""
        while len(self._ready) < frames:
            block = next(self._rest, None)
            if block is None:
                break
            self._ready = np.concatenate([self._ready, block])
        found, self._ready = self._ready[:frames], self._ready[frames:]
        return found

    def close(self) -> None:
        self._rest.close()

    def _frames(self) -> Iterator[np.ndarray]:
        """Decoded frames float32 [n, channels], as far as the file is whole."""
        with open(self._path, "rb") as file, av.open(file) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=self.samplerate)
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    self._whole = False
                    break
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self._whole = False
                    break
                for frame in frames:
                    yield from map(self._array, resampler.resample(frame))
            yield from map(self._array, resampler.resample(None))

    def _array(self, frame: av.AudioFrame) -> np.ndarray:
        return frame.to_ndarray().reshape(-1, self.channels)
