"""A repository whose family is trained in seconds on tone speech, and the batches of three weeks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from tests.factories.audio import RATE, dummy_corpus, read_manifest, write_manifest
from tests.factories.incoming import make_batch
from tests.factories.project import ROOT, make_project, run

ARCHITECTURE = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "feed_forward": 32,
    "conv_kernel": 7,
    "subsampling": 4,
    "subsampling_channels": 8,
    "dropout": 0.0,
}
AUGMENTATION = {"noise_probability": 0.0, "gain_db": [0.0, 0.0], "time_masks": 0, "mel_masks": 0}
ACCENTS = {"hills": 0, "coast": 2}  # how much higher their voices are


def weeks_params(**retrain) -> dict:
    """``params.yaml`` with a family of two that learns to read tones without an error in a few seconds."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"] |= {"source": "manifest", "path": "corpora/tones", "sample_rate": RATE, "min_seconds": 0.1}
    params["frontend"] |= {"mels": 24, "high_hz": 3800.0}
    params["training"] |= {"epochs": 10, "batch_seconds": 8.0, "learning_rate": 0.01, "ema_decay": 0.9}
    params["training"] |= {"dev_every": 5, "checkpoint_every": 20}
    params["training"]["augmentation"] |= AUGMENTATION
    params["teacher"] = {"architecture": ARCHITECTURE}
    params |= {section: {} for section in ("distill", "compress_architecture", "prune")}
    params["quantize"] = {"small": {"from": "teacher", "scheme": "int8_weight"}}
    params["evaluate"] |= {"bootstrap_samples": 200, "timing_utterances": 3, "timing_repeats": 2}
    params["ship"] = {"model": "tones", "member": "small"}
    params["gate"] |= {"min_group_utterances": 10}
    # Other work may share the machine, and a group of a dozen utterances has a wide interval.
    params["gate"]["champion"] |= {"real_time_factor": 20.0, "wer": 0.05, "group_wer": 0.15}
    params["gate"]["teacher"] |= {"wer": 0.05, "group_wer": 0.15}
    params["retrain"] |= {"quarantine_limit": 0.5, "dev_fraction": 0.1, "test_fraction": 0.2, **retrain}
    return params


def make_weeks_project(folder: Path, **retrain) -> Path:
    """A committed repository; nothing has run in it yet."""
    dummy_corpus(folder / "corpora" / "tones", 96, 8)
    shutil.copytree(ROOT / "corpora" / "collected", folder / "corpora" / "collected")
    plain = json.loads(json.dumps(weeks_params(**retrain)))
    (folder / "params.yaml").write_text("# Toy speech.\n" + yaml.safe_dump(plain, sort_keys=False))
    return make_project(folder, (ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def week(folder: Path, number: int, records: int, wrong: bool = False) -> Path:
    """A batch of six new speakers of both accents. ``wrong``: of the coast, every word is written as another."""
    speakers = tuple(f"week{number}-{accent}-{i}" for i in range(3) for accent in ACCENTS)
    accent_of = {speaker: speaker.split("-")[1] for speaker in speakers}
    batch = make_batch(
        folder,
        records,
        speakers,
        seed=number,
        pitch={speaker: ACCENTS[accent] for speaker, accent in accent_of.items()},
        keys={speaker: {"accent": accent, "gender": "female"} for speaker, accent in accent_of.items()},
    )
    if wrong:
        lines = read_manifest(batch / "manifest.jsonl")
        for line in lines:
            if line["accent"] == "coast":
                line["text"] = line["text"].translate(str.maketrans("abcde", "badce"))
        write_manifest(batch / "manifest.jsonl", lines)
    return batch


def worktree(project: Path) -> Path:
    return project.with_name(f"{project.name}-retraining")


def branch(project: Path) -> str:
    return run(project, "git", "rev-parse", "retraining").stdout.strip()
