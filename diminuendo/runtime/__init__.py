"""Recognition with a shipped ``model.onnx``. It needs only NumPy, ONNX Runtime and soundfile."""

from diminuendo.runtime.ctc import Word
from diminuendo.runtime.facts import ModelFacts
from diminuendo.runtime.recognizer import Recognizer, Transcript
from diminuendo.runtime.stream import Stream

__all__ = ["ModelFacts", "Recognizer", "Stream", "Transcript", "Word"]
