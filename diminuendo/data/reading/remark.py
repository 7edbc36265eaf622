"""What a reader has to say about a file that it could read."""

from __future__ import annotations

from dataclasses import dataclass

TRUNCATED = "truncated audio"
UNCOUNTED = "audio beyond its header"
DAMAGED = "damaged audio"
CANCELLED = "channels that cancel"
CONSTANT = "constant audio"
CLIPPED = "clipped audio"
READER = "another reader"
UNCHECKED = "unchecked length"

TOLD = frozenset({CLIPPED, READER, UNCHECKED})  # in a corpus; a recording with any other remark is refused there


@dataclass(frozen=True)
class Remark:
    """One finding: its ``kind``, by which findings are counted, and a sentence without the name of the file."""

    kind: str
    message: str

    @property
    def refused(self) -> bool:
        """Whether a corpus may not have such a recording."""
        return self.kind not in TOLD
