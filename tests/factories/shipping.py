"""A shop: a folder with a family of known errors, test sets, params.yaml and an MLflow store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from diminuendo.core.files import sha256_of
from diminuendo.parameters import Params, parse_params
from tests.factories.audio import CHARACTERS, ROOT
from tests.factories.evaluation import spoken_corpus
from tests.factories.onnx_models import write_model

MORE_TEXTS = ("quiet please", "play jazz", "zoom in", "what is a quiz")  # letters q and z, which student-int8 confuses
# Members of the repository's params.yaml; what each takes for each other.
CONFUSED = {"teacher": None, "student": ("x", "v"), "student-int8": ("q", "z"), "slim": ("a", "o")}
WIDTH = {"teacher": 96, "slim": 64}
FEW = {"min_utterances": 4, "min_words": 10, "min_characters": 20, "min_speakers": 2}  # what ``data/quizzes`` has
LIMITS = {"wer": 0.2, "group_wer": 0.3, "deletions": 0.1, "insertions": 0.1}


def raw_params() -> dict[str, Any]:
    """The repository's parameters with limits that fit eight utterances."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["text"] |= CHARACTERS
    raw["evaluate"] |= {"bootstrap_samples": 100, "group_by": ["accent"], "timing_utterances": 2, "timing_repeats": 2}
    raw["ship"] = {"model": "commands", "member": "student"}
    raw["gate"] = {
        "wer": 0.3,
        "cer": 0.3,
        **FEW,
        "min_group_utterances": 4,
        "bytes": 60000,
        "teacher": dict(LIMITS),
        "champion": {**LIMITS, "real_time_factor": 1000.0},  # timed on two utterances, beside other tests
    }
    return raw


def params(**gate: Any) -> Params:
    """``raw_params`` with keys of the section gate changed."""
    raw = raw_params()
    raw["gate"] |= gate
    return parse_params(raw)


def lineage_of(name: str, teacher: str | None) -> dict[str, Any]:
    """What a file says of itself: a teacher, or a member made from the teacher of this digest."""
    own = {"stage": "distill", "name": name, "parameters": {"seed": 1}, "code": "c" * 64, "corpus": "d" * 64}
    top = {**own, "stage": "train_teacher", "name": "teacher", "parents": {}}
    corpora = {
        "d" * 64: {
            "source": "synthetic",
            "sample_rate": 8000,
            "splits": {"train": {"utterances": 3, "seconds": 7200.0, "words": 9, "speakers": 2}},
        }
    }
    if teacher is None:
        return {"format": 2, **top, "ancestors": {}, "corpora": corpora}
    return {"format": 2, **own, "parents": {"teacher": teacher}, "ancestors": {teacher: top}, "corpora": corpora}


def write_member(folder: Path, name: str, teacher: str | None = None, **changes: Any) -> Path:
    """``<folder>/<name>/model.onnx``; ``changes`` go to ``write_model``."""
    options = {"confuse": CONFUSED.get(name), "width": WIDTH.get(name, 32), **changes}
    lineage = json.dumps(lineage_of(name, teacher))
    return write_model(folder / name / "model.onnx", name, metadata={"lineage": lineage}, **options)


def write_shop(folder: Path) -> Path:
    """Fill a folder: ``models/``, ``data/prepared`` (the texts of the evaluation's factory), ``data/quizzes``."""
    teacher = sha256_of(write_member(folder / "models", "teacher"))
    for name in CONFUSED:
        if name != "teacher":
            write_member(folder / "models", name, teacher)
    spoken_corpus(folder / "data" / "prepared")
    spoken_corpus(folder / "data" / "quizzes", MORE_TEXTS)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw_params()), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shop_template(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("shop-template"))


@pytest.fixture
def shop(tmp_path, monkeypatch, fresh_store, shop_template):
    """A shop as the working directory. What is to be recorded is delivered in this process, when it is waited for."""
    from diminuendo.tracking import journal, lookup, sender, track

    for name in ("MLFLOW_TRACKING_URI", "DIMINUENDO_TRACKING", "DIMINUENDO_PIPELINE", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "shop"
    shutil.copytree(shop_template, folder)
    shutil.copy(fresh_store, folder / "mlflow.db")
    monkeypatch.chdir(folder)

    def deliver_now() -> None:
        if not any(journal.is_live(one) for one in journal.journals()):
            sender.serve()

    monkeypatch.setattr(track, "start_sender", deliver_now)
    monkeypatch.setattr(sender, "POLL_SECONDS", 0)
    monkeypatch.setattr(sender.os, "nice", lambda _: 0)
    lookup._store.cache_clear()
    yield folder
    lookup._store.cache_clear()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it where it is told an address


def counts(errors: list[int], words: int = 10, kind: str = "substitutions") -> dict[str, np.ndarray]:
    """Columns of hypotheses.jsonl for utterances of ``words`` words with so many errors of one kind."""
    nothing = np.zeros(len(errors), dtype=np.int64)
    edits = ("substitutions", "deletions", "insertions")
    found = {prefix + name: nothing.copy() for prefix in ("", "character_") for name in edits}
    found[kind] = np.array(errors, dtype=np.int64)
    return {**found, "words": nothing + words, "characters": nothing + 5 * words}


def decision_about(path: Path, errors: int = 0, run: str | None = None):
    """A decision as the gate would give it, without measuring: so many errors in each of eight utterances."""
    from diminuendo.gate.decision import Decision, Party, Test
    from diminuendo.gate.judge import Evidence, Resampling, judge

    policy, resampling = params().gate, Resampling(50, 0.95, 0)
    evidence = Evidence(counts([errors] * 8), counts([0] * 8), None, {}, speakers=["one", "two"] * 4)
    interval = {"low": errors / 10, "high": errors / 10}
    in_group = {"wer": 0.5, "wer_interval": interval, "cer": 0.25, "cer_interval": interval}
    figures = {
        "wer": errors / 10,
        "wer_interval": interval,
        "cer": errors / 50,
        "cer_interval": interval,
        **{key: int(column.sum()) for key, column in evidence.candidate.items()},
        "groups": {"accent": {f"valley {i}": {"utterances": i, **in_group} for i in range(9)}},
    }
    party = Party(path.parent.name, sha256_of(path), path.stat().st_size)
    return Decision(
        candidate=party,
        teacher=party,
        champion=None,
        tests=(Test("prepared", "e" * 64, 8, 20.0, 80, 2, 1.5, 4.0, {"candidate": figures}),),
        rules=judge(policy, party.bytes, {"prepared": evidence}, None, resampling),
        policy=policy.model_dump(mode="json"),
        confidence=0.95,
        speed={
            "real_time_factor": 0.01,
            "latency_p50": 0.002,
            "latency_p95": 0.004,
            "machine": {"processor": "a processor"},
        },
        run=run,
    )
