"""A tiny checkpoint in Hugging Face's format whose own head writes capitals and pieces, its blank not at 0."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.torch import save_file

from diminuendo.models.families import FAMILIES, PRETRAINED
from diminuendo.pretrained.checkpoint import opened
from tests.factories.capitals.pretrained import record_of
from tests.factories.transformer.module import TransformerCTC

KIND, MODEL_TYPE = "capitals-of-the-tests", "capitals"

VOCABULARY = {"<s>": 0, "<unk>": 1, "A": 2, "B": 3, "C": 4, "D": 5, "E": 6, "AB": 7, "|": 8, "<pad>": 9}
TOKENS = ["<blank>", "<special:s>", "<special:unk>", *"abcde", "ab", "▁"]  # as they are read for texts in lower case


@contextmanager
def known_family():
    """Within the block the family is known, and no checkpoint is remembered from before or for later."""
    opened.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, KIND, __name__)
        patch.setitem(PRETRAINED, MODEL_TYPE, KIND)
        yield
    opened.cache_clear()


def write_capitals(folder: Path, sample_rate: int) -> Path:
    """The checkpoint's folder, with random weights."""
    import torch

    folder.mkdir(parents=True)
    config = {"model_type": MODEL_TYPE, "vocab_size": len(VOCABULARY), "pad_token_id": 9, "rate": sample_rate}
    torch.manual_seed(0)
    model = TransformerCTC(record_of(config, {}, len(VOCABULARY)))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    return folder
