"""Recognition with a shipped ``model.onnx``: NumPy, ONNX Runtime and soundfile, nothing else."""

from diminuendo.runtime.ctc import Word
from diminuendo.runtime.recognizer import Recognizer, Transcript

__all__ = ["Recognizer", "Transcript", "Word"]
