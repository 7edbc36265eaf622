"""What a shipped file recognises: ``python -m diminuendo.evaluation.accuracy MODEL CORPUS OUT`` scores it on test.

Utterances are decoded one at a time, as users will. Batches of similar lengths would save a fifth of the time, but
padding, and the ranges that dynamic quantization takes over a whole batch, would make a hypothesis depend on its
neighbours.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.artifact.code import reachable_digest
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, sha256_of, write_json
from diminuendo.evaluation.machine import machine_of
from diminuendo.evaluation.process import measuring

if TYPE_CHECKING:
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.runtime.transcript import Hypothesis

ACCURACY = "accuracy.json"
HYPOTHESES = "hypotheses.jsonl"
THREADS = 1


def code_digest() -> str:
    """SHA-256 over the modules that hypotheses and their counts depend on."""
    return reachable_digest(["diminuendo.evaluation.accuracy"])


def measure_accuracy(model_path: Path, corpus: PreparedCorpus, out: Path) -> dict[str, Any]:
    """Decode the test split with one thread and write ``hypotheses.jsonl`` and ``accuracy.json`` into ``out``.

    Raises:
        UserError: the model is not ours, or is for another sample rate.
    """
    from diminuendo.evaluation.scoring import count_errors, normalise
    from diminuendo.runtime.recognizer import Recognizer

    recognizer = Recognizer(model_path, threads=THREADS)
    if recognizer.model.sample_rate != corpus.sample_rate:
        expected, found = corpus.sample_rate, recognizer.model.sample_rate
        raise UserError(f"{model_path}: a model for {found} Hz, expected {expected} Hz as in {corpus.folder}")
    found = [recognizer.hypothesis(corpus.audio(utterance)) for utterance in corpus.test]
    references = [utterance.text for utterance in corpus.test]
    hypotheses = [hypothesis.text for hypothesis in found]
    counts = count_errors(references, hypotheses)
    with atomic_file(out / HYPOTHESES) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for utterance, hypothesis, errors in zip(corpus.test, hypotheses, counts):
            line = {
                "id": utterance.id,
                "seconds": utterance.duration,
                "reference": normalise(utterance.text),
                "hypothesis": normalise(hypothesis),
                **asdict(errors),
                "character_errors": errors.character_errors,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    accuracy = {
        "model": sha256_of(model_path),
        "corpus": corpus.digest,
        "code": code_digest(),
        "machine": machine_of((THREADS,)),
        "hypotheses": sha256_of(out / HYPOTHESES),
        "utterances": len(found),
        **_counts(found),
    }
    write_json(out / ACCURACY, accuracy)
    return accuracy


def _counts(found: list[Hypothesis]) -> dict[str, int]:
    """Sums of what the hypotheses count: frames and blank ones, or tokens."""
    counts = {}
    for name in ("frames", "blank_frames", "tokens"):
        values = [getattr(hypothesis, name) for hypothesis in found]
        if None not in values:
            counts[name] = sum(values)
    return counts


def is_current(folder: Path, model_digest: str, corpus_digest: str, code: str) -> bool:
    """Whether ``folder`` holds a whole result of this model, corpus and code, decoded on such a machine.

    Another processor, or another onnxruntime, rounds differently, and a hypothesis may differ with it.
    """
    try:
        stored = json.loads((folder / ACCURACY).read_text(encoding="utf-8"))
        found = [stored["model"], stored["corpus"], stored["code"], stored["hypotheses"]]
        expected = [model_digest, corpus_digest, code, sha256_of(folder / HYPOTHESES)]
        return found == expected and stored["machine"] == machine_of((THREADS,))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def main() -> None:
    model, corpus, out = map(Path, sys.argv[1:])
    with measuring():
        from diminuendo.data.prepared import PreparedCorpus

        # Whoever starts these processes has checked the digests once for all of them.
        measure_accuracy(model, PreparedCorpus.open(corpus, verify=False), out)


if __name__ == "__main__":
    main()
