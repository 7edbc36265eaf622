"""The files of an evaluation with figures that nothing measured: of a family of four, for reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WER = {"teacher": 0.08, "student": 0.10, "student-slim": 0.12, "student-int8": 0.11}
BYTES = {"teacher": 5_000_000, "student": 1_000_000, "student-slim": 1_200_000, "student-int8": 250_000}
TRIED = {"snr_db": [10, -5], "utterances": 60, "recordings": None, "seed": 1, "tried": 40}
VALUE = "<b>|hills</b>"  # of a manifest; nothing in it may become markup


def interval(value: float, half: float) -> dict[str, float]:
    return {"low": value - half, "high": value + half}


def rates(system: str, **figures: float) -> dict[str, Any]:
    """Rates with intervals, and their differences to the teacher's 8 %."""
    found: dict[str, Any] = {}
    for name, figure in figures.items():
        delta = f"{system}delta_{name}"
        found |= {system + name: figure, f"{system}{name}_interval": interval(figure, 0.01)}
        found |= {delta: figure - 0.08, f"{delta}_interval": interval(figure - 0.08, 0.005)}
    return found


def hidden(name: str, measure: str, in_noise: bool) -> dict[str, Any]:
    """What a rate on clean speech hides: of ``student`` a word a minute in noise and a tenth of the utterances."""
    share = 1.0 if name == "teacher" else 0.9
    found: dict[str, Any] = {"noise": {}, "hallucinated": {}, "headline": {"no_worse_share": share}}
    kept = {"wer": share, "wer_interval": interval(share, 0.02), "cer": share, "cer_interval": interval(share, 0.02)}
    if in_noise:
        for condition, more in (("clean", 0.0), ("snr_10", 0.1), ("snr_-5", 0.3)):
            found["noise"][condition] = rates("", wer=WER[name] + more, cer=WER[name] / 2 + more)
        for part, heard in (("noise", 6.0), ("silence", 0.0), ("all", 3.0)):
            words = {"words_per_minute": heard, "words_per_minute_interval": interval(heard, heard / 2)}
            characters = {"characters_per_minute": heard, "characters_per_minute_interval": interval(heard, 0.0)}
            more = heard if name == "student" else 0.0
            delta = {"delta_words_per_minute": more, "delta_words_per_minute_interval": interval(more, more / 3)}
            found["hallucinated"][part] = {"clips": 9, "minutes": 1.0, **words, **characters, **delta}
        found["headline"] |= {f"{measure}_snr_10": WER[name] + 0.1, "hallucinated_words_per_minute": 3.0}
    loops, new = (7, 4) if name == "student" else (3, 0)
    found["loops"] = {
        "test": {"utterances": 100, "loops": 0, "new": 0, "new_in": []},
        "snr_-5": {"utterances": 40, "loops": loops - 1, "new": new, "new_in": ["u1"]},
        "silence": {"utterances": 40, "loops": 1, "new": 0, "new_in": []},
        "all": {"utterances": 180, "loops": loops, "new": new},
    }
    found["headline"] |= {"loops": loops, "new_loops": new}
    return {"no_worse": kept, **found}


def made_up(folder: Path, measure: str = "wer", raw: bool = False, in_noise: bool = True) -> None:
    members, timing = {}, {}
    edits = {"substitutions": 11, "deletions": 22, "insertions": 33}
    counts = {**edits, "words": 800, **{f"character_{kind}": count + 100 for kind, count in edits.items()}}
    counts |= {"character_errors": 366, "characters": 4000}
    for name, wer in WER.items():
        group = {"utterances": 20, "words": 80, "characters": 400, **rates("", wer=wer, cer=wer / 2)}
        own = {**rates("", wer=wer, cer=wer / 2), **counts}
        if raw:
            group |= rates("raw_", wer=wer + 0.01, cer=wer / 2 + 0.01)
            own |= rates("raw_", wer=wer + 0.01, cer=wer / 2 + 0.01)
            own |= {f"raw_{key}": count + 1 for key, count in counts.items()}
        technique = {}
        if name == "student-int8":
            left_out = [{"group": "norms", "reason": "vectors"}]
            shares = {
                "multiply_accumulates_share": {"8_bit": 0.7, "32_bit": 0.3},
                "log_prob_difference": 0.0123,
                "left_out": left_out,
            }
            technique = {"parameters_share": {"8_bit": 0.95, "16_bit": 0.05}, **shares}
        members[name] = {
            "digest": name.encode().hex().ljust(64, "0"),
            "bytes": BYTES[name],
            "parameters": BYTES[name] // 4,
            "sparsity": 0.25,
            **own,
            **hidden(name, measure, in_noise),
            "blank_rate": 0.7,
            "groups": {"accent": {VALUE: group, "coast": group}, "age": {}},
            "technique": technique,
        }
        factor = 0.005 * BYTES[name] / 5e6
        speed = {
            "real_time_factor": factor,
            "real_time_factor_interval": interval(factor, factor / 10),
            "times_faster": 0.005 / factor,
            "times_faster_interval": interval(0.005 / factor, 0.1),
            "latency_p50": 0.0123,
            "latency_p95": 0.0456,
            "latency_p99": 0.0789,
        }
        timing[name] = {
            "1": speed,
            "2": {**speed, "real_time_factor": factor / 2},
            "peak_bytes": 30_000_000,
            "run": "r",
        }
    whole = {"corpus": "c" * 64, "utterances": 100, "seconds": 300.0, "confidence": 0.95, "bootstrap_samples": 100}
    whole |= {"measure": measure, "normalizer": {"name": "none"}, "emptied": []}
    whole |= {"resampled": {"unit": "speakers", "speakers": 33}, "noise": TRIED if in_noise else None}
    if raw:
        whole |= {"normalizer": {"name": "basic", "package": "a_package", "version": "1.2"}, "emptied": ["u1", "u2"]}
    machine = {"processor": "A processor", "onnxruntime": "1", "threads": 2}
    clock = {"machine": machine, "threads": [1, 2], "utterances": 10, "seconds": 30.0, "repeats": 5}
    clock["runs"] = {"r": {"members": list(timing), "teacher": {}}}
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({**whole, "members": members}))
    (folder / "timing.json").write_text(json.dumps({**clock, "members": timing}))
