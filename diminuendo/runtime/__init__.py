"""Recognition with a shipped ``model.onnx``. It needs only NumPy, ONNX Runtime and soundfile."""

from diminuendo.runtime.ctc import Word
from diminuendo.runtime.facts import ModelFacts
from diminuendo.runtime.recognizer import Recognizer
from diminuendo.runtime.segment import Segment
from diminuendo.runtime.seq2seq.recognizer import Seq2SeqRecognizer  # which `Recognizer` makes of files of format 2
from diminuendo.runtime.stream import Stream
from diminuendo.runtime.transcript import Hypothesis, Transcript

__all__ = [
    "Hypothesis",
    "ModelFacts",
    "Recognizer",
    "Segment",
    "Seq2SeqRecognizer",
    "Stream",
    "Transcript",
    "Word",
]
