"""A family of small real files and a prepared corpus whose transcripts are known, ready to be evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.data.prepared import PreparedCorpus, ShardWriter, write_corpus
from diminuendo.data.text import CharacterTokenizer
from diminuendo.parameters import Params, parse_params
from tests.factories.audio import dummy_params
from tests.factories.onnx_models import SAMPLE_RATE, TOKENS, speak, write_model

TEXTS = ("turn on the light", "open a door", "call anna", "stop", "set an alarm", "no", "lights off now", "a banana")
# What each member takes for each other; the teacher hears everything.
CONFUSED = {"teacher": None, "student": ("a", "o"), "student-int8": ("q", "z"), "student-slim": ("n", "t")}


LATIN: dict[str, str] = {}
HANZI = dict(zip("abcdefghijklmnopqrstuvwxyz", "的一是了我不人在他有这个上们来到时大地为子中你说生出", strict=True))


def script_metadata(script: Mapping[str, str]) -> dict[str, Any]:
    """For ``write_model``: a model that writes each letter in another script."""
    return {"tokens": json.dumps(in_script(TOKENS, script), ensure_ascii=False)}


def in_script(tokens: list[str], script: Mapping[str, str]) -> list[str]:
    return [script.get(token, token) for token in tokens]


def spoken_corpus(
    folder: Path, texts: tuple[str, ...] = TEXTS, script: Mapping[str, str] = LATIN, **keys: tuple[str, ...]
) -> PreparedCorpus:
    """A prepared corpus whose test split says ``texts``, by two speakers of two accents.

    Args:
        texts: in Latin letters, which say what is heard.
        script: letter to what is written for it.
        keys: further keys of the manifest, with a value for each text.
    """
    folder.mkdir(parents=True)
    writers = {}
    for split in ("train", "dev", "test"):
        writer = writers[split] = ShardWriter(folder, split, SAMPLE_RATE)
        for index, text in enumerate(texts if split == "test" else texts[:1]):
            written = "".join(in_script(list(text), script))
            own = {"id": f"{split}-{index}", "text": written, "speaker": f"{split}{index % 2}"}
            own |= {"accent": ("coast", "hills")[index % 2]} | {key: values[index] for key, values in keys.items()}
            writer.add(own, np.round(speak(text) * 32767).astype(np.int16))
    write_corpus(folder, writers, CharacterTokenizer(in_script(TOKENS, script)), "test")
    return PreparedCorpus.open(folder)


def small_family(folder: Path) -> dict[str, Path]:
    """Name to folder of four members; the teacher's file is the largest."""
    models = {}
    for name, confuse in CONFUSED.items():
        models[name] = folder / name
        write_model(folder / name / "model.onnx", name, confuse, width=96 if name == "teacher" else 32)
    return models


def family_params() -> Params:
    """Parameters whose members are those of ``small_family``."""
    raw = dummy_params().model_dump(mode="json", by_alias=True, exclude_none=True)
    student = FAMILY["distill"]["student"] | {"architecture": raw["distill"]["student"]["architecture"]}
    return parse_params({**raw, **FAMILY, "distill": {"student": student}})


FAMILY = {
    "distill": {"student": {"from": "teacher"}},
    "compress_architecture": {},
    "prune": {"student-slim": {"from": "student", "structured": {"heads": 0.5}}},
    "quantize": {"student-int8": {"from": "student", "scheme": "int8_weight"}},
}
