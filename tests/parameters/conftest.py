"""A checkpoint and a corpus to be looked at, in a working directory."""

import pytest

from diminuendo.pretrained.checkpoint import opened
from tests.factories import transformer  # noqa: F401  registers the family
from tests.factories.audio import write_manifest
from tests.factories.checkpoint import write_checkpoint


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkpoint of 8 kHz with its own head, in a working directory."""
    opened.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/a.wav").write_bytes(b"a check decodes no audio")
    for split in ("train", "dev", "test"):
        line = {"audio_filepath": "a.wav", "text": "ab", "speaker": split, "gender": "f", "accent": "hills"}
        write_manifest(tmp_path / f"speech/{split}.jsonl", [line])
    return write_checkpoint(tmp_path / "checkpoints/tiny")
