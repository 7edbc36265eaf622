"""Writing once more, with more chance, where a text repeats itself or is unlikely (Radford et al. 2022, 4.5)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from diminuendo.data.byte_level import text_of
from diminuendo.runtime.seq2seq.model import TextModel, Written

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)  # after 0
MOST_COMPRESSION = 2.4  # of text by zlib: what repeats itself is compressed further
LEAST_LOG_PROB = -1.0  # mean over the tokens
SILENT = 0.6  # probability that nobody speaks, from which an unlikely text is dropped


def write_well(
    model: TextModel, waveform: np.ndarray, prompt: Sequence[int], first: Written | None = None
) -> tuple[Written, float]:
    """What is written for a window, and at which temperature; the last one is taken whatever it gave.

    A file without the input ``temperature`` is asked once.

    Args:
        first: what is written at temperature 0, if it is known.
    """
    written, temperature = first or model.write([waveform], prompt)[0], 0.0
    for hotter in TEMPERATURES if model.has_temperature else ():
        if not is_poor(model, written) or is_silence(written):
            break
        temperature = hotter
        written = model.write([waveform], prompt, temperature=hotter, seed=round(10 * hotter))[0]
    return written, temperature


def is_poor(model: TextModel, written: Written) -> bool:
    """Whether a text repeats itself or is unlikely."""
    return compression_of(model, written) > MOST_COMPRESSION or written.mean_log_prob < LEAST_LOG_PROB


def is_silence(written: Written) -> bool:
    """Whether nobody speaks: the file says so, and is not sure of what it wrote either."""
    silent = written.no_speech is not None and written.no_speech > SILENT
    return silent and written.mean_log_prob < LEAST_LOG_PROB


def compression_of(model: TextModel, written: Written) -> float:
    """Bytes of the text over those that zlib makes of it."""
    content = text_of(model.tokens[token] for token in written.tokens).strip().encode("utf-8", "replace")
    return len(content) / len(zlib.compress(content))
