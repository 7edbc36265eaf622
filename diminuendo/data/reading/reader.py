"""Opens a recording, decodes it, and tells what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from diminuendo.core.extras import how_to_install, is_installed
from diminuendo.core.plain_text import shown
from diminuendo.data.reading.inspect import inspect, inspect_file
from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.levels import Levels
from diminuendo.data.reading.pieces import Pieces, Window
from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.remark import DAMAGED, TRUNCATED, Remark
from diminuendo.data.reading.tail import is_empty

RATES = range(1000, 768_001)  # Hz, what converters have
BLOCK_SECONDS = 10.0
EXTRA = "audio"  # of the installation, for formats that libsndfile does not read
_NOT_AUDIO = "not audio that can be read, it cannot be decoded"
_READ = "wav, flac, ogg, opus and mp3 can"
_MORE = "for m4a, webm, aac and others"
_MOST_LINKS = 250  # recordings that were joined: each takes a decoder, and an open file
_SMALL_BLOCK = 256  # samples of each channel, where the place of a damage is looked for
_LARGEST_BLOCK = 1 << 24  # samples of all channels; more are read in several blocks
_MISLEADING = "File does not exist or is not a regular file"  # libsndfile's words for an mp3 without a frame
_SLACK_SECONDS = 0.05  # by which decoders differ at the edges
_ERRORS = (soundfile.SoundFileError, OSError, RuntimeError, ValueError)


class Decoder(Protocol):
    """What decodes one stream."""

    samplerate: int
    channels: int
    frames: int

    def seek(self, frames: int) -> int: ...

    def read(self, frames: int, dtype: str, always_2d: bool) -> np.ndarray: ...

    def close(self) -> None: ...


class Recording:
    """An open recording of one channel or several, whose mean is read; a context manager that closes it.

    Attributes:
        name: for messages, on one line.
        rate: Hz.
        remarks: what is to say of it; complete after the last sample has been read.
    """

    def __init__(
        self,
        name: str,
        decoders: list[Decoder],
        links: tuple[Link, ...],
        remarks: list[Remark],
        again: Callable[[Link], Decoder],
    ) -> None:
        self.name, self._decoders, self._links, self._again = name, decoders, links, again
        self.rate = int(decoders[0].samplerate)
        self.remarks = remarks
        self._levels = Levels(name, self.rate)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for decoder in self._decoders:
            decoder.close()

    @property
    def channels(self) -> int:
        return max(decoder.channels for decoder in self._decoders)

    @property
    def frames(self) -> int:
        """Samples for each channel, as far as it can be decoded."""
        return sum(map(_length, self._decoders, self._links))

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def blocks(self, seconds: float = BLOCK_SECONDS, start: int = 0, count: int | None = None) -> Iterator[np.ndarray]:
        """The mean of the channels float32 [n], in blocks of about so many seconds; they end where it is damaged.

        Args:
            start, count: samples for each channel that come before, and that are read at most.

        Raises:
            Unreadable: nothing can be heard before the damage, or it holds samples that are no audio.
        """
        left, before = count, 0
        for decoder, link in zip(self._decoders, self._links):
            skipped = min(start, decoder.frames)
            start -= skipped
            before += skipped
            if start and skipped == decoder.frames:
                continue
            heard = 0
            for block in self._decoded(decoder, link, seconds, skipped, left, before):
                heard += len(block)
                with np.errstate(invalid="ignore", over="ignore"):  # values that are no audio are found by the levels
                    mono = block.mean(axis=1)
                self._levels.look(block, mono)
                yield mono
            before += heard
            if left is None:
                self._hold(skipped + heard, decoder, link)
            else:
                left -= heard
                if not left:
                    break
        self.remarks += self._levels.remarks()

    def _decoded(
        self, decoder: Decoder, link: Link, seconds: float, start: int, count: int | None, before: int
    ) -> Iterator[np.ndarray]:
        """Args: before: samples of the whole recording that come before ``start`` of this stream, with those of it."""
        size = max(1, min(int(seconds * self.rate), _LARGEST_BLOCK // decoder.channels))
        done = 0
        try:
            if start:
                decoder.seek(start)
            while count is None or done < count:
                block = decoder.read(size if count is None else min(size, count - done), "float32", always_2d=True)
                if not len(block):
                    return
                done += len(block)
                yield block
        except _ERRORS as error:
            if isinstance(error, Unreadable):
                raise
            for block in self._until_damage(link, start + done, None if count is None else count - done):
                done += len(block)
                yield block
            at = f"{(before + done) / self.rate:.2f} s"
            if not self._levels.samples:
                raise Unreadable("not audio", f"{self.name}: damaged after {at} of audio ({_reason(error)})") from error
            if start + done >= decoder.frames or done == count:
                found = Remark(DAMAGED, f"damaged: bytes in it that are no frame are skipped ({_reason(error)})")
            else:
                lost = f"damaged after {at} of {self.seconds:.2f} s; what follows there cannot be decoded"
                found = Remark(TRUNCATED, f"{lost} ({_reason(error)})")
            self.remarks.append(found)

    def _until_damage(self, link: Link, start: int, count: int | None) -> Iterator[np.ndarray]:
        """From ``start`` of a stream on what a new decoder gives in small blocks: an error takes its block with it."""
        decoder = self._again(link)
        at, end = 0, np.inf if count is None else start + count
        try:
            while at < end:
                size = _SMALL_BLOCK if at >= start else min(_LARGEST_BLOCK // decoder.channels, start - at)
                block = decoder.read(int(min(size, end - at)), "float32", always_2d=True)
                if not len(block):
                    return
                if at >= start:
                    yield block
                at += len(block)
        except _ERRORS:
            return
        finally:
            decoder.close()

    def _hold(self, heard: int, decoder: Decoder, link: Link) -> None:
        """Hold what was heard against what must be there, if nothing is known to be missing yet."""
        wanted = _length(decoder, link) if link.samples is None else link.samples
        if wanted - heard > _SLACK_SECONDS * self.rate and not any(r.kind == TRUNCATED for r in self.remarks):
            missing = f"{heard / self.rate:.2f} s of {wanted / self.rate:.2f} s could be decoded"
            self.remarks.append(Remark(TRUNCATED, f"damaged or cut short: {missing}"))


def _length(decoder: Decoder, link: Link) -> int:
    """Samples of a stream: as libsndfile says, unless it estimates and we have counted."""
    return decoder.frames if link.unless is None else min(decoder.frames, link.samples)


def open_recording(source: str | os.PathLike | BinaryIO, name: str | None = None) -> Recording:
    """Open an audio file, or one that is open already and can be sought (it stays open).

    Args:
        name: for messages; the path by default.

    Raises:
        Unreadable: there is no such file, or it is no audio that can be read.
    """
    name = name or shown(os.fspath(source))
    try:
        if isinstance(source, (str, os.PathLike)):
            path = _plain_file(Path(source), name)
            inspection = inspect_file(path)
        else:
            path, inspection = None, inspect(source)
    except OSError as error:
        raise Unreadable("not audio", f"{name}: cannot be read ({error.strerror})") from error
    remarks = list(inspection.remarks) if inspection else []
    decoders: list[Decoder] = []
    try:
        if inspection is not None and len(inspection.links) > _MOST_LINKS:
            joined = f"{len(inspection.links)} recordings that were joined, expected {_MOST_LINKS} at most"
            raise Unreadable("not audio", f"{name}: {joined}; cut it where they meet")
        if inspection is None:
            decoders, inspection = [_foreign(path or source, name, remarks)], Inspection()
        else:
            decoders += (_decoder(path or source, link, name) for link in inspection.links)
        _check(decoders, name, remarks)
    except BaseException:
        for decoder in decoders:
            decoder.close()
        raise
    return Recording(name, decoders, inspection.links, remarks, lambda link: _decoder(path or source, link, name))


def _plain_file(path: Path, name: str) -> Path:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise Unreadable("missing file", f"{name}: there is no such file") from None
    except ValueError as error:  # a name that no file can have
        raise Unreadable("missing file", f"{name}: there is no such file ({error})") from None
    if stat.S_ISDIR(mode):
        raise Unreadable("not audio", f"{name}: a folder, expected an audio file")
    if not stat.S_ISREG(mode):
        raise Unreadable("not audio", f"{name}: a pipe or device, expected a file; `transcribe MODEL -` reads a pipe")
    if not path.stat().st_size:
        raise Unreadable("not audio", f"{name}: the file is empty (0 bytes) and cannot be decoded, expected audio")
    return path


def _decoder(source: Path | BinaryIO, link: Link, name: str) -> Decoder:
    """libsndfile, with the file's name where it can read the file as it is."""
    if link.unless is not None:
        decoder = _decoder(source, Link(), name)
        if decoder.frames >= link.unless:
            return decoder
        decoder.close()
    try:
        if link.pieces is None and isinstance(source, Path):
            return soundfile.SoundFile(os.fsencode(source) if os.name == "posix" else str(source))
        return soundfile.SoundFile(_pieces(source, link))
    except _ERRORS as error:
        raise Unreadable("not audio", f"{name}: {_NOT_AUDIO} ({_reason(error)}); {_READ}") from error


def _pieces(source: Path | BinaryIO, link: Link) -> Pieces:
    if isinstance(source, Path):
        return Pieces(open(source, "rb"), link.pieces, closes=True)
    return Pieces(source, link.pieces or ((0, source.seek(0, os.SEEK_END)),))


def _foreign(source: Path | BinaryIO, name: str, remarks: list[Remark]) -> Decoder:
    """A decoder for a format of which libsndfile cannot tell whether it is whole."""
    if not isinstance(source, Path):
        raise Unreadable("not audio", f"{name}: {_NOT_AUDIO}; {_READ}")
    with open(source, "rb") as file:
        if is_empty(Window(file)):  # FFmpeg would read all of them
            raise Unreadable("not audio", f"{name}: holds nothing but zeros, expected audio")
    if is_installed("av"):
        from diminuendo.data.reading.av_decoder import AvDecoder

        return AvDecoder(source, name, remarks)
    raise Unreadable("not audio", f"{name}: {_NOT_AUDIO}; {_READ}; {_MORE} {how_to_install(EXTRA)}")


def _check(decoders: list[Decoder], name: str, remarks: list[Remark]) -> None:
    rates = sorted({int(decoder.samplerate) for decoder in decoders})
    if len(rates) > 1:
        found = " and ".join(f"{rate} Hz" for rate in rates)
        raise Unreadable(
            "not audio", f"{name}: files of several rates that were joined ({found}); cut it where they meet"
        )
    if rates[0] not in RATES:
        raise Unreadable("not audio", f"{name}: its header says {rates[0]} Hz, expected {RATES[0]} to {RATES[-1]}")
    if not any(decoder.frames for decoder in decoders):
        why = f"; {'; '.join(remark.message for remark in remarks)}" if remarks else ""
        raise Unreadable("empty audio", f"{name}: it holds no audio (no samples{why})")


def _reason(error: Exception) -> str:
    found = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return "the decoder finds no frame in it" if found.startswith(_MISLEADING) else found
