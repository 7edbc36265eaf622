"""The families of models: the ``kind`` that a record says, and the package that has the family.

A package has ``family.py`` with ``FAMILY`` (:class:`~diminuendo.models.family.ModelFamily`) and ``onnx_writer.py``
with ``build_onnx``; one that can be loaded from a pretrained checkpoint has ``pretrained.py`` as well. They are
imported when they are asked for, so that no model depends on another family's code.
"""

from __future__ import annotations

# A literal: what a stage depends on is found by reading it (``artifact.code``), of other commits as well.
FAMILIES: dict[str, str] = {
    "conformer": "diminuendo.models.conformer",
    "wav2vec2": "diminuendo.models.wav2vec2",
    "fastconformer": "diminuendo.models.fastconformer",
    "whisper-encoder": "diminuendo.models.whisper",
    "whisper": "diminuendo.models.whisper.seq2seq",
}

# The ``model_type`` of a checkpoint in Hugging Face's format, and the kind of the family that reads it.
PRETRAINED: dict[str, str] = {
    "whisper": "whisper-encoder",
    "wav2vec2": "wav2vec2",
    "hubert": "wav2vec2",
    "wavlm": "wav2vec2",
    "data2vec-audio": "wav2vec2",
    "parakeet_ctc": "fastconformer",
    "parakeet_encoder": "fastconformer",
    "parakeet_rnnt": "fastconformer",
    "parakeet_tdt": "fastconformer",
}

# The same for checkpoints that are taken with a head of their own that is not CTC.
PRETRAINED_WHOLE: dict[str, str] = {"whisper": "whisper"}
