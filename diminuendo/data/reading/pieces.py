"""A file seen as pieces of it, with other bytes between them: what a decoder is given where a header is wrong."""

from __future__ import annotations

import errno
import io
import os
import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import BinaryIO

Piece = bytes | tuple[int, int]  # bytes themselves, or from where to where in the file

_BLOCK = 1 << 20


class Pieces(io.RawIOBase):
    """The pieces one after the other, as a file that can be read and sought.

    Args:
        closes: whether closing it closes the file.
    """

    def __init__(self, file: BinaryIO, pieces: tuple[Piece, ...], closes: bool = False) -> None:
        super().__init__()
        self._file, self._pieces, self._closes = file, pieces, closes
        sizes = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces]
        self._starts = [0, *accumulate(sizes)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._at < self._starts[-1]:
            index = bisect_right(self._starts, self._at) - 1
            inside = self._at - self._starts[index]
            wanted = min(len(view) - done, self._starts[index + 1] - self._at)
            piece = self._pieces[index]
            if isinstance(piece, bytes):
                found = piece[inside : inside + wanted]
            else:
                self._file.seek(piece[0] + inside)
                found = self._file.read(wanted)
            if not found:  # the file has become shorter
                break
            view[done : done + len(found)] = found
            done += len(found)
            self._at += len(found)
        return done

    def close(self) -> None:
        if self._closes:
            self._file.close()
        super().close()


class Window:
    """Random access to the bytes of a file, read in large blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        self._start, self._block = 0, b""

    def at(self, position: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``position`` on; fewer at the end of the file."""
        begin = position - self._start
        if begin < 0 or begin + count > len(self._block):
            self._file.seek(position)
            self._start, self._block = position, self._file.read(max(count, _BLOCK))
            begin = 0
        return self._block[begin : begin + count]

    def find(self, wanted: bytes, position: int) -> int:
        """Where ``wanted``, which begins with no zero, stands first from ``position`` on, or −1."""
        return self._scan(position, len(wanted), lambda begin: self._block.find(wanted, begin))

    def search(self, wanted: re.Pattern[bytes], width: int, position: int) -> int:
        """The same for a pattern that matches ``width`` bytes."""

        def look(begin: int) -> int:
            found = wanted.search(self._block, begin)
            return -1 if found is None else found.start()

        return self._scan(position, width, look)

    def _scan(self, position: int, width: int, look: Callable[[int], int]) -> int:
        """``look`` finds in the block itself: a copy of it for each find would take ages where there are many."""
        while position + width <= self.size:
            if not self._start <= position <= self._start + len(self._block) - width:
                position = self._after_hole(position)
            if not self.at(position, width):
                break  # the file has become shorter
            if (found := look(position - self._start)) >= 0:
                return self._start + found
            position = max(position, self._start + len(self._block) - width) + 1
        return -1

    def _after_hole(self, position: int) -> int:
        """Where the next bytes are that the disk holds: a sparse file may be far larger than it is, and all zeros."""
        try:
            descriptor = self._file.fileno()
            before = os.lseek(descriptor, 0, os.SEEK_CUR)
        except (OSError, ValueError):  # no file of the system's
            return position
        try:
            return os.lseek(descriptor, position, os.SEEK_DATA)
        except (AttributeError, OSError) as error:
            return self.size if getattr(error, "errno", None) == errno.ENXIO else position
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)
