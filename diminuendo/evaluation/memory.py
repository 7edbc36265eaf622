"""Memory of one model, in its own process: ``python -m diminuendo.evaluation.memory MODEL CORPUS OUT``.

The figure is how far the process' peak resident memory rises above what it had before the model was opened, with ONNX
Runtime, NumPy and the audio in memory already: the cost of the model itself, including loading it and recognising the
longest utterance with one thread.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from diminuendo.core.files import write_json
from diminuendo.evaluation.process import measuring


def _forget_peak() -> bool:
    """Reset the peak to the present resident memory; False if the system cannot (it is not Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False


def _peak_bytes() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_memory(model: Path, corpus_folder: Path) -> int:
    """The rise of the peak in bytes; meaningful only in a fresh process."""
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.runtime.recognizer import Recognizer

    corpus = PreparedCorpus.open(corpus_folder, verify=False)
    waveform = corpus.audio(max(corpus.test, key=lambda utterance: utterance.duration))
    _forget_peak()
    before = _peak_bytes()
    Recognizer(model, threads=1).text_of(waveform)
    return _peak_bytes() - before


def main() -> None:
    model, corpus, out = map(Path, sys.argv[1:])
    with measuring():
        write_json(out, {"peak_bytes": measure_memory(model, corpus)})


if __name__ == "__main__":
    main()
