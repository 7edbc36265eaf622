"""PyAV (FFmpeg) as a decoder for what libsndfile does not read: m4a, webm, aac and others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.remark import READER, TRUNCATED, UNCHECKED, UNCOUNTED, Remark

_STATE_A_LENGTH = {"mp4", "m4a", "mov", "matroska", "webm", "asf", "avi", "wv", "tta"}  # of others FFmpeg estimates it
_OF_FRAMES = {"aac"}  # which say how long they are
_UNCHECKED = {"amr", "ac3", "eac3", "mpegts", "mp3", "voc", "iff", "ircam", "pvf", "avr", "epaf"}
# Alone these are opened: others, such as playlists, name further files and addresses, which FFmpeg would follow.
_OPENED = {
    "container_options": {
        "format_whitelist": ",".join(sorted(_STATE_A_LENGTH | _OF_FRAMES | _UNCHECKED | {"3gp", "3g2", "mj2"})),
        "protocol_whitelist": "none",
    }
}
_BOXES = {"mp4", "mov"}
_MOST_BOXES = 100_000  # a file of fragments has some for each of them
_ERRORS = (av.FFmpegError, OSError, ValueError, AttributeError)  # the last of a stream without a codec
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
            with self._container() as container:
                if not container.streams.audio:
                    raise Unreadable("not audio", f"{name}: FFmpeg finds no audio in it")
                stream = container.streams.audio[0]
                self.samplerate, self.channels = stream.rate, stream.channels
                formats = set(container.format.name.split(","))
                if not self.samplerate or not self.channels:
                    raise Unreadable("not audio", f"{name}: FFmpeg finds no sample rate, or no channel, in it")
                stated = container.duration / av.time_base if container.duration else 0.0
            self.frames, self._whole = 0, True
            for block in self._frames():
                self.frames += len(block)
        except _ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            raise Unreadable(
                "not audio", f"{name}: not audio that can be read, it cannot be decoded ({reason})"
            ) from error
        self._rest = self._frames()
        self._ready = np.zeros((0, self.channels), np.float32)
        remarks.append(Remark(READER, f"read by PyAV {av.__version__} (FFmpeg), which libsndfile cannot read"))
        heard = self.frames / self.samplerate
        if not self._whole or (formats & _STATE_A_LENGTH and stated - heard > _SLACK_SECONDS):
            of = f" of {stated:.2f} s" if formats & _STATE_A_LENGTH and stated > heard else ""
            remarks.append(Remark(TRUNCATED, f"damaged or cut short: {heard:.2f} s{of} could be decoded"))
        if formats & _UNCHECKED:
            kind = ", ".join(sorted(formats & _UNCHECKED))
            remarks.append(
                Remark(UNCHECKED, f"whether all of it was heard cannot be told from a file of this kind ({kind})")
            )
        if formats & _BOXES and (at := _second(path)):
            remarks.append(Remark(UNCOUNTED, f"another recording begins at byte {at}, which is not heard"))

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

    @contextmanager
    def _container(self) -> Iterator[av.container.InputContainer]:
        with open(self._path, "rb") as file, av.open(file, metadata_errors="replace", **_OPENED) as container:
            yield container

    def _frames(self) -> Iterator[np.ndarray]:
        """Decoded frames float32 [n, channels], as far as the file is whole."""
        with self._container() as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=self.samplerate)
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    self._whole = False
                    break
                try:
                    frames = packet.decode()
                except _ERRORS:
                    self._whole = False
                    break
                for frame in frames:
                    yield from map(self._array, resampler.resample(frame))
            yield from map(self._array, resampler.resample(None))

    def _array(self, frame: av.AudioFrame) -> np.ndarray:
        return frame.to_ndarray().reshape(-1, self.channels)


def _second(path: Path) -> int:
    """Where another mp4 file begins (ISO/IEC 14496-12), which was joined to this one; 0 if there is none."""
    size = path.stat().st_size
    at = 0
    with open(path, "rb") as file:
        for _ in range(_MOST_BOXES):
            file.seek(at)
            head = file.read(16)
            if len(head) < 8 or (at and head[4:8] == b"ftyp"):
                return at if len(head) >= 8 else 0
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            at += length
            if length < 8 or at >= size:
                return 0
    return 0
