"""The families of models: the ``kind`` that a record says, and the package that has the family.

A package has ``family.py`` with ``FAMILY`` (:class:`~diminuendo.models.family.ModelFamily`) and ``onnx_writer.py``
with ``build_onnx``. They are imported when they are asked for, so that no model depends on another family's code.
"""

from __future__ import annotations

# A literal: what a stage depends on is found by reading it (``artifact.code``), of other commits as well.
FAMILIES: dict[str, str] = {
    "conformer": "diminuendo.models.conformer",
    "wav2vec2": "diminuendo.models.wav2vec2",
}
