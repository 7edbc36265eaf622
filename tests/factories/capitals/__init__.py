"""A tiny checkpoint in Hugging Face's format whose own head writes capitals and pieces, its blank not at 0."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from diminuendo.models.families import FAMILIES, PRETRAINED
from tests.factories.capitals.pretrained import record_of
from tests.factories.transformer.module import TransformerCTC

KIND, MODEL_TYPE = "capitals-of-the-tests", "capitals"
FAMILIES[KIND], PRETRAINED[MODEL_TYPE] = __name__, KIND

VOCABULARY = {"<s>": 0, "<unk>": 1, "A": 2, "B": 3, "C": 4, "D": 5, "E": 6, "AB": 7, "|": 8, "<pad>": 9}
TOKENS = ["<blank>", "<special:s>", "<special:unk>", *"abcde", "ab", "▁"]  # as they are read for texts in lower case


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
