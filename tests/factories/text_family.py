"""A family whose teacher is a tiny whole Whisper, over a corpus of tones."""

from __future__ import annotations

from pathlib import Path

import torch

from diminuendo.artifact.onnx_file import MODEL
from diminuendo.export.trained import deliver
from diminuendo.models.whisper.seq2seq.module import Whisper
from tests.factories.models import SAMPLE_RATE, ToneCorpus, speech_batch
from tests.factories.whisper_text import opened, tiny_text_whisper, written
from tests.factories.whisper_vocabulary import SPECIAL, SPELT, VOCABULARY, vocabulary_tokenizer

BATCH = speech_batch(SAMPLE_RATE, (0.5, 0.33))


def text_teacher(seed: int = 5, **keys) -> Whisper:
    keys = {"width": 24, "position_channels": 24, "vocabulary": VOCABULARY, "special": SPECIAL, **keys}
    return tiny_text_whisper(seed, sample_rate=SAMPLE_RATE, **keys)


def text_corpus() -> ToneCorpus:
    """Its texts are in a letter a token, and in the tokens of the teacher."""
    return ToneCorpus(teachers=vocabulary_tokenizer())


def write_text_teacher(models: Path, name: str = "teacher") -> None:
    model = text_teacher()
    deliver(models / name, model, name=name, tokens=SPELT, lineage={}, history=None, summary={}, teacher_layers=[0])


def texts_of(model: Whisper | Path) -> list[list[int]]:
    """Tokens that a model, or the file in a folder, writes of :data:`BATCH`."""
    if isinstance(model, Path):
        found = written(opened((model / MODEL).read_bytes()), *BATCH)
        return [row[:count].tolist() for row, count in zip(found["tokens"], found["lengths"])]
    with torch.inference_mode():
        tokens, counts = model.transcribe(*BATCH)
    return [text.tolist() for text in tokens.split(counts.tolist())]
