"""What a shipped file recognises in noise: ``python -m diminuendo.evaluation.noisy MODEL CORPUS REQUEST OUT``.

``noisy.jsonl`` has a line for each clip, as ``hypotheses.jsonl`` has for each utterance, with its ``condition`` (see
``noise.condition_names``); ``noisy.json`` says what the lines depend on. Clips too are decoded one at a time.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diminuendo.artifact.code import reachable_digest
from diminuendo.config.evaluation import NoiseConfig
from diminuendo.core.files import atomic_file, sha256_of, write_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.accuracy import THREADS
from diminuendo.evaluation.machine import machine_of
from diminuendo.evaluation.noise import clips_of, record_of
from diminuendo.evaluation.process import measuring, run_module

RECORD, LINES = "noisy.json", "noisy.jsonl"


def code_digest() -> str:
    """SHA-256 over the modules that the lines depend on."""
    return reachable_digest(["diminuendo.evaluation.noisy"])


def depends_on(model: str, corpus: str, config: NoiseConfig, seed: int) -> dict[str, Any]:
    """All that the lines depend on.

    Args:
        model, corpus: digests.

    Raises:
        UserError: there are no recordings where ``config`` says.
    """
    conditions = record_of(config, seed)
    machine = machine_of((THREADS,))
    return {"model": model, "corpus": corpus, "code": code_digest(), "machine": machine, "conditions": conditions}


def is_current(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether ``folder`` holds whole lines of ``wanted`` (see ``depends_on``)."""
    try:
        stored = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return stored == {**wanted, "lines": sha256_of(folder / LINES)}
    except (OSError, ValueError):
        return False


def read_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LINES).read_text(encoding="utf-8").splitlines()]


def decode(model: Path, corpus: PreparedCorpus, config: NoiseConfig, seed: int, out: Path) -> None:
    """Decode every clip in a process of its own; ``out`` gets the files.

    Raises:
        UserError: the model or a recording cannot be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    request = json.dumps({"config": config.model_dump(mode="json"), "seed": seed})
    run_module("diminuendo.evaluation.noisy", [str(model), str(corpus.folder), request, str(out)])


def write_lines(model_path: Path, corpus: PreparedCorpus, config: NoiseConfig, seed: int, out: Path) -> None:
    """Decode every clip with one thread and write both files into ``out``."""
    from diminuendo.evaluation.scoring import count_errors, normalise
    from diminuendo.runtime.recognizer import Recognizer

    recognizer = Recognizer(model_path, threads=THREADS)
    with atomic_file(out / LINES) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for clip in clips_of(corpus, config, seed):
            hypothesis = recognizer.text_of(clip.waveform)
            (errors,) = count_errors([clip.reference], [hypothesis])
            line = {
                "condition": clip.condition,
                "id": clip.utterance.id,
                "seconds": clip.utterance.duration,
                "reference": normalise(clip.reference),
                "hypothesis": normalise(hypothesis),
                **asdict(errors),
                "character_errors": errors.character_errors,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    wanted = depends_on(sha256_of(model_path), corpus.digest, config, seed)
    write_json(out / RECORD, {**wanted, "lines": sha256_of(out / LINES)})


def main() -> None:
    model, corpus, request, out = sys.argv[1:]
    asked = json.loads(request)
    with measuring():
        opened = PreparedCorpus.open(corpus, verify=False)
        write_lines(Path(model), opened, NoiseConfig(**asked["config"]), asked["seed"], Path(out))


if __name__ == "__main__":
    main()
