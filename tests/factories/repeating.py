"""A recogniser that writes what it is told to, so that it may repeat itself, and an evaluation by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from diminuendo.config.evaluation import NoiseConfig
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import noisy
from diminuendo.evaluation.accuracy import measure_accuracy
from diminuendo.runtime.transcript import Hypothesis
from tests.factories.onnx_models import SAMPLE_RATE

LOOP = "thanks for watching! " * 5


def decode_as_told(
    models: Mapping[str, Path],
    corpus: PreparedCorpus,
    noise: NoiseConfig,
    seed: int,
    out: Path,
    written: Mapping[str, Iterable[str]],
) -> None:
    """Fill ``out/<model>`` as the evaluation does, in this process.

    Args:
        models: name to the folder of the file, which is not run.
        written: name to the texts, in the order of decoding: test, then each condition of ``noise``.
    """
    for name, folder in models.items():
        texts = iter(written[name])

        class Told:
            class model:
                sample_rate = SAMPLE_RATE

            def __init__(self, path: Path, threads: int, texts=texts) -> None:
                self.texts = texts

            def text_of(self, waveform) -> str:
                return next(self.texts)

            def hypothesis(self, waveform) -> Hypothesis:
                return Hypothesis(self.text_of(waveform))

        (out / name).mkdir(parents=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("diminuendo.runtime.recognizer.Recognizer", Told)
            measure_accuracy(folder / "model.onnx", corpus, out / name)
            noisy.write_lines(folder / "model.onnx", corpus, noise, seed, out / name)
        assert next(texts, None) is None
