"""Speed and memory of a family, with what an earlier run measured of the files that have not changed since.

``timing.json``: ``members`` has the figures of each, the ``model`` (SHA-256) and the ``run`` that they are of; ``runs``
says whom each run measured and what the ``teacher`` took in it, since ratios are to the teacher of the same run;
``conditions`` are what the runs have in common, and ``digest`` covers the rest of the file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diminuendo.artifact.code import reachable_digest
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.config.names import TEACHER
from diminuendo.core.cores import available_cores
from diminuendo.core.files import digest_of_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.machine import machine_of
from diminuendo.evaluation.process import run_module
from diminuendo.evaluation.timing import Request

TIMING = "timing.json"
_MEASURED_BY = ("diminuendo.evaluation.timing", "diminuendo.evaluation.memory")
_FACTS = ("machine", "threads", "utterances", "seconds", "repeats")  # the same in all runs


def measure_speed(
    models: dict[str, Path],
    digests: dict[str, str],
    corpus: PreparedCorpus,
    config: EvaluateConfig,
    say: Callable[[str], None],
    earlier: Path | None = None,
) -> dict[str, Any]:
    """The content of ``timing.json``: figures taken over from ``earlier``, and one run for all other members.

    Args:
        models: name to file, the teacher among them.
        digests: name to SHA-256 of the file.
        earlier: the ``timing.json`` of an earlier evaluation.
    """
    threads = tuple(sorted({1, available_cores()}))
    conditions = conditions_of(digests[TEACHER], corpus.digest, config, threads)
    known = {} if earlier is None else read_timing(earlier, conditions)
    kept = {name: found for name, found in known.get("members", {}).items() if found["model"] == digests.get(name)}
    if kept:
        say(
            f"{', '.join(name for name in models if name in kept)}: the same file, corpus, settings, code and machine "
            f"as before, speed and memory are taken over (without {earlier} they are measured again)"
        )
    new = [name for name in models if name not in kept]
    if not new:
        return joined(models, kept, known, conditions)
    beside = list(dict.fromkeys([TEACHER, *new]))
    found = _measure({name: models[name] for name in beside}, corpus, config, threads, say)
    run = digest_of_json([conditions, found["members"]])[:12]
    teacher = {str(count): found["members"][TEACHER][str(count)] for count in threads}
    measured = {name: {**found["members"][name], "model": digests[name], "run": run} for name in new}
    runs = {**known.get("runs", {}), run: {"teacher": teacher}}
    return joined(models, kept | measured, {**found, "runs": runs}, conditions)


def joined(
    models: dict[str, Path], members: dict[str, Any], found: dict[str, Any], conditions: dict[str, Any]
) -> dict[str, Any]:
    """The whole of ``timing.json``; runs whose every member was measured again since are left out."""
    ordered = {name: members[name] for name in models}
    runs = {}
    for run, facts in found["runs"].items():
        if of_run := [name for name, figures in ordered.items() if figures["run"] == run]:
            runs[run] = {"members": of_run, "teacher": facts["teacher"]}
    whole = {key: found[key] for key in _FACTS} | {"conditions": conditions, "members": ordered, "runs": runs}
    return whole | {"digest": digest_of_json(whole)}


def conditions_of(teacher: str, corpus: str, config: EvaluateConfig, threads: tuple[int, ...]) -> dict[str, Any]:
    """All that the figures of an unchanged file depend on: figures under other conditions are not compared."""
    return {
        "teacher": teacher,
        "corpus": corpus,
        "code": reachable_digest(_MEASURED_BY),
        "machine": machine_of(threads),
        "threads": list(threads),
        "utterances": config.timing_utterances,
        "repeats": config.timing_repeats,
        "confidence": config.confidence,
    }


def read_timing(path: Path, conditions: dict[str, Any]) -> dict[str, Any]:
    """An earlier ``timing.json`` if it is whole and was measured under these conditions, or nothing."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        digest = stored.pop("digest")
        return stored if digest == digest_of_json(stored) and stored["conditions"] == conditions else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _measure(
    models: dict[str, Path],
    corpus: PreparedCorpus,
    config: EvaluateConfig,
    threads: tuple[int, ...],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Timing of these models in one process, all taking turns, then the memory of each in one of its own."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        asked = Request(
            models={name: str(path) for name, path in models.items()},
            corpus=str(corpus.folder),
            utterances=config.timing_utterances,
            repeats=config.timing_repeats,
            threads=threads,
            confidence=config.confidence,
        )
        request.write_text(json.dumps(asdict(asked)), encoding="utf-8")
        say(f"timing {len(models)} models, {config.timing_repeats} × {config.timing_utterances} utterances each")
        run_module("diminuendo.evaluation.timing", [str(request), str(answer)])
        timing = json.loads(answer.read_text(encoding="utf-8"))

        def memory(name: str) -> int:
            result = Path(folder, f"{name}.json")
            run_module("diminuendo.evaluation.memory", [str(models[name]), str(corpus.folder), str(result)])
            return json.loads(result.read_text(encoding="utf-8"))["peak_bytes"]

        with ThreadPoolExecutor(available_cores()) as pool:
            for name, peak in zip(models, pool.map(memory, models)):
                timing["members"][name]["peak_bytes"] = peak
    return timing
