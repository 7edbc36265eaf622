"""A family of small real files and a prepared corpus whose transcripts are known, ready to be evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diminuendo.data.prepared import PreparedCorpus, ShardWriter, write_corpus
from diminuendo.data.text import CharacterTokenizer
from tests.factories.onnx_models import SAMPLE_RATE, TOKENS, speak, write_model

TEXTS = ("turn on the light", "open a door", "call anna", "stop", "set an alarm", "no", "lights off now", "a banana")
# What each member takes for each other; the teacher hears everything.
CONFUSED = {"teacher": None, "student": ("a", "o"), "student-int8": ("q", "z"), "student-slim": ("n", "t")}


def spoken_corpus(folder: Path, texts: tuple[str, ...] = TEXTS) -> PreparedCorpus:
    """A prepared corpus whose test split says ``texts``, by two speakers of two accents."""
    folder.mkdir(parents=True)
    writers = {}
    for split in ("train", "dev", "test"):
        writer = writers[split] = ShardWriter(folder, split, SAMPLE_RATE)
        for index, text in enumerate(texts if split == "test" else texts[:1]):
            keys = {"id": f"{split}-{index}", "text": text, "speaker": f"{split}{index % 2}"}
            samples = np.round(speak(text) * 32767).astype(np.int16)
            writer.add({**keys, "accent": ("coast", "hills")[index % 2]}, samples)
    write_corpus(folder, writers, CharacterTokenizer(TOKENS), "test")
    return PreparedCorpus.open(folder)


def small_family(folder: Path) -> dict[str, Path]:
    """Name to folder of four members; the teacher's file is the largest."""
    models = {}
    for name, confuse in CONFUSED.items():
        models[name] = folder / name
        write_model(folder / name / "model.onnx", name, confuse, width=96 if name == "teacher" else 32)
    return models


FAMILY = {
    "distill": {"student": {"from": "teacher"}},
    "compress_architecture": {},
    "prune": {"student-slim": {"from": "student", "structured": {"heads": 0.5}}},
    "quantize": {"student-int8": {"from": "student", "scheme": "int8_weight"}},
}
