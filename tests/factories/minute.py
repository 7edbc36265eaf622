"""The whole pipeline at the size of a minute: every technique once, on models too small to be any good."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.factories.audio import CHARACTERS
from tests.factories.loaded import recording
from tests.factories.project import ROOT, environment, make_project

DVC = (sys.executable, "-m", "dvc")
FLOW = (sys.executable, "-m", "flows.with_server", "flows.pipeline", "--jobs", "1")

TINY = {
    "layers": 2,
    "width": 16,
    "heads": 2,
    "feed_forward": 32,
    "conv_kernel": 7,
    "subsampling": 4,
    "subsampling_channels": 8,
    "dropout": 0.0,
}
BRIEF = {"epochs": 1}


def minute_params() -> dict:
    """``params.yaml`` made small; its sections, and so its DAG, are whole."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["synthesis"] |= {"train_utterances": 24, "dev_utterances": 6, "test_utterances": 8}
    params["synthesis"] |= {"unlabelled_utterances": 6}
    params["text"] |= CHARACTERS
    params["training"] |= {"epochs": 1, "dev_every": 1, "batch_seconds": 30.0}
    params["teacher"] = {"architecture": TINY, "training": {"epochs": 2}}
    params["distill"] = {
        "student": {
            "from": "teacher",
            "architecture": TINY | {"layers": 1, "subsampling": 4, "frontend": {"mels": 20, "hop_seconds": 0.02}},
            "training": {"epochs": 2, "augmentation_copies": 1, "unlabelled": True},
            "losses": {"ctc": 1.0, "kl": 1.0, "hidden": 0.5},
        }
    }
    params["label"] = {"heard": {"from": "teacher", "utterances": 8}}
    params["distill_on_labels"] = {
        "taught": {
            "from": "teacher",
            "labels": "heard",
            "real_texts": True,  # a teacher of two epochs may have heard nothing
            "architecture": {"kind": "parent", "layers": 1},
            "training": BRIEF,
            "losses": {"ctc": 1.0, "kl": 0.0},
        }
    }
    params["compress_architecture"] = {
        "teacher-lowrank": {"from": "teacher", "low_rank": {"budget": 0.5}, "training": BRIEF}
    }
    params["prune"] = {
        "student-slim": {
            "from": "student",
            "structured": {"heads": 0.5, "feed_forward": 0.5, "convolution": 0.5, "batches": 1},
            "training": BRIEF,
            "losses": {"ctc": 1.0, "kl": 1.0},
        }
    }
    params["prune_on_labels"] = {
        "taught-slim": {
            "from": "taught",
            "labels": "heard",
            "real_texts": True,
            "structured": {"heads": 0.5, "feed_forward": 0.5, "convolution": 0.5, "batches": 1},
            "training": BRIEF,
            "losses": {"ctc": 1.0, "kl": 0.0},
        }
    }
    params["quantize"] = {
        "teacher-int8": {"from": "teacher", "scheme": "int8_dynamic"},
        "student-slim-int8": {"from": "student-slim", "scheme": "int8_weight"},
    }
    params["evaluate"] |= {"bootstrap_samples": 20, "timing_utterances": 2, "timing_repeats": 1}
    return params


def write_minute_params(path: Path, params: dict | None = None) -> None:
    # By way of JSON, so that no two sections are one object: YAML would write an alias, which `-S` cannot change.
    plain = json.loads(json.dumps(params or minute_params()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")


def make_minute_project(folder: Path) -> Path:
    """A repository whose pipeline takes less than a minute; nothing is run yet."""
    shutil.copytree(ROOT / "corpora", folder / "corpora")
    write_minute_params(folder / "params.yaml")
    return make_project(folder, (ROOT / "dvc.yaml").read_text())


def run_minute_pipelines(place: Path) -> Path:
    """Two such repositories in ``place`` brought up to date side by side: by ``dvc repro``, and by the flow.

    What modules their stages load is written into ``place / "loaded"``.
    """
    processes = {}
    for name, command in {"repro": (*DVC, "repro"), "flow": FLOW}.items():
        project = make_minute_project(place / name)
        recorded = recording(place / "loaded", os.environ.get("PYTHONPATH", ""))
        env = environment(PREFECT_HOME=str(place / "prefect"), **recorded)
        for inherited in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
            env.pop(inherited, None)
        output = open(place / f"{name}.txt", "w")  # noqa: SIM115  the process writes to it
        processes[name] = subprocess.Popen(command, cwd=project, env=env, stdout=output, stderr=output)
    try:
        for name, process in processes.items():
            assert process.wait() == 0, (place / f"{name}.txt").read_text()[-4000:]
    finally:
        for process in processes.values():
            process.terminate()  # its stages end with it
    return place
