"""The synthetic source of a corpus, which ``data.prepare`` is given for ``data.source: synthetic``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.data.prepared import UNLABELLED
from diminuendo.data.settings import REFRESH_SECONDS, CorpusSettings
from diminuendo.data.sources import SOURCE, Sources
from diminuendo.data.text import normalize


def synthesize(
    settings: CorpusSettings, sources: Sources, workers: int
) -> Generator[tuple[str, dict[str, Any], np.ndarray], None, None]:
    """(split, keys of the manifest line, int16 [N] at ``data.sample_rate``) of every utterance, in order.

    Args:
        sources: receives the digests of the grammar and the voices, and the name of the synthesizer.
        workers: processes that speak.

    Raises:
        UserError: bad ``grammar.yaml`` or ``voices.yaml``, or an utterance that cannot be spoken.
    """
    from importlib import metadata

    from tqdm import tqdm

    from diminuendo.synthesis.corpus import plan, speak
    from diminuendo.synthesis.pool import SynthesisPool

    folder, rate = Path(settings.data.path), settings.data.sample_rate
    for name in ("grammar.yaml", "voices.yaml"):
        sources.add(SOURCE, folder, folder / name)
    sources.made_by = f"eSpeak NG of espeakng-loader {metadata.version('espeakng-loader')}"
    planned = plan(folder, settings.synthesis, settings.seed)
    with SynthesisPool(rate, workers) as pool:
        recordings = speak(planned, settings.synthesis, settings.seed, pool, rate)
        total = sum(map(len, planned.values()))
        for split, utterance, samples in tqdm(
            recordings, total=total, unit="utt", desc="speaking", mininterval=REFRESH_SECONDS
        ):
            keys = {
                "id": utterance.id,
                "text": normalize(utterance.text, settings.text.lowercase),
                "speaker": utterance.voice.speaker,
                "gender": utterance.voice.gender,
                "accent": utterance.voice.accent,
            }
            if split == UNLABELLED:
                del keys["text"]
            yield split, keys, samples
