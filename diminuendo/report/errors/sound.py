"""The audio of the page: FLAC, which every browser plays, has half the size of WAV and is what the members heard."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from diminuendo.data.prepared import PreparedCorpus, Utterance

MEGABYTE = 1_000_000
SMALLEST = 4_000  # bytes; with less room than this left nothing more is tried


def choose_audio(corpus: PreparedCorpus, order: Iterable[int], megabytes: float) -> dict[int, str]:
    """Index of an utterance to its FLAC file in base64, in ``order`` as long as they fit.

    Args:
        megabytes: of base64, which is what the page grows by. What is longer than the room left is passed over.
    """
    room, chosen = megabytes * MEGABYTE, {}
    for index in order:
        if room < SMALLEST:
            break
        text = base64.b64encode(flac_of(corpus, corpus.test[index])).decode("ascii")
        if len(text) <= room:
            room -= len(text)
            chosen[index] = text
    return chosen


def flac_of(corpus: PreparedCorpus, utterance: Utterance) -> bytes:
    """A FLAC file of 16 bits, sample for sample as the corpus has it."""
    import soundfile

    with soundfile.SoundFile(corpus.folder / utterance.audio_filepath) as shard:
        shard.seek(round(utterance.offset * corpus.sample_rate))
        samples = shard.read(round(utterance.duration * corpus.sample_rate), dtype="int16")
    written = io.BytesIO()
    soundfile.write(written, samples, corpus.sample_rate, format="FLAC", subtype="PCM_16")
    return written.getvalue()
