"""A repository whose family is trained in seconds on tone speech, and the batches of three weeks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from tests.factories.audio import CHARACTERS, RATE, read_manifest, write_manifest
from tests.factories.incoming import make_batch
from tests.factories.minute import TINY
from tests.factories.project import ROOT, make_project

ARCHITECTURE = TINY | {"layers": 1}
AUGMENTATION = {
    "noise_probability": 0.0,
    "gain_db": [0.0, 0.0],
    "time_masks": 0,
    "mel_masks": 0,
    "joined": 0.0,
    "silence_seconds": 0.0,
    "without_speech": 0.0,
}
ACCENTS = {"hills": 0, "coast": 7}  # how much higher their voices are: a model hears which it is
SPEAKERS = {"train": 4, "dev": 2, "test": 4}
RECORDS = {"train": 96, "dev": 12, "test": 48}


def weeks_params(**retrain) -> dict:
    """``params.yaml`` with a family of two that learns to read tones without an error in a few seconds."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"] |= {"source": "manifest", "path": "corpora/tones", "sample_rate": RATE, "min_seconds": 0.1}
    params["text"] |= CHARACTERS
    params["frontend"] |= {"mels": 24, "high_hz": 3800.0, "hop_seconds": 0.01}
    params["training"] |= {"epochs": 8, "batch_seconds": 8.0, "learning_rate": 0.01, "ema_decay": 0.9}
    params["training"] |= {"dev_every": 4, "checkpoint_every": 20}
    params["training"]["augmentation"] |= AUGMENTATION
    params["teacher"] = {"architecture": ARCHITECTURE}
    params |= {section: {} for section in ("distill", "compress_architecture", "prune")}
    params["quantize"] = {"small": {"from": "teacher", "scheme": "int8_weight"}}
    params["evaluate"] |= {"bootstrap_samples": 200, "timing_utterances": 3, "timing_repeats": 2}
    params["ship"] = {"model": "tones", "member": "small"}
    params["gate"] |= {"min_group_utterances": 10, "min_utterances": 40, "min_words": 40, "min_speakers": 4}
    # Other work may share the machine, and a group of a dozen utterances has a wide interval.
    params["gate"]["champion"] |= {"real_time_factor": 20.0, "wer": 0.05, "group_wer": 0.15}
    params["gate"]["teacher"] |= {"wer": 0.05, "group_wer": 0.15}
    params["retrain"] |= {"quarantine_limit": 0.5, "dev_fraction": 0.1, "test_fraction": 0.2, **retrain}
    return params


def make_weeks_project(folder: Path, **retrain) -> Path:
    """A committed repository; nothing has run in it yet. The report, which decides nothing, is left out."""
    tones = folder / "corpora" / "tones"
    for number, (split, count) in enumerate(RECORDS.items()):
        week(tones / split, 100 + number, count, SPEAKERS[split])
        lines = read_manifest(tones / split / "manifest.jsonl")
        for line in lines:
            line["audio_filepath"] = f"{split}/{line['audio_filepath']}"
        write_manifest(tones / f"{split}.jsonl", lines)
    shutil.copytree(ROOT / "corpora" / "collected", folder / "corpora" / "collected")
    plain = json.loads(json.dumps(weeks_params(**retrain)))
    (folder / "params.yaml").write_text("# Toy speech.\n" + yaml.safe_dump(plain, sort_keys=False))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    del stages["stages"]["report"], stages["metrics"], stages["plots"]
    return make_project(folder, yaml.safe_dump(stages, sort_keys=False))


def week(folder: Path, number: int, records: int, speakers: int = 3) -> Path:
    """A batch of so many new speakers of either accent."""
    names = tuple(f"week{number}-{accent}-{i}" for i in range(speakers) for accent in ACCENTS)
    accent_of = {name: name.split("-")[1] for name in names}
    return make_batch(
        folder,
        records,
        names,
        seed=number,
        pitch={name: ACCENTS[accent] for name, accent in accent_of.items()},
        keys={name: {"accent": accent, "gender": "female"} for name, accent in accent_of.items()},
    )


def corrupt(batch: Path, share: float) -> int:
    """Damage a share of the records, each in one of five ways; returns how many."""
    lines = read_manifest(batch / "manifest.jsonl")
    count = round(share * len(lines))
    for index, line in enumerate(lines[:count]):
        audio = batch / line["audio_filepath"]
        match index % 5:
            case 0:
                audio.write_bytes(audio.read_bytes()[:20])  # a header that is cut short
            case 1:
                audio.unlink()
            case 2:
                line["text"] = " "
            case 3:
                line["duration"] = -1.0
            case 4:
                line["duration"] += 2.0
    write_manifest(batch / "manifest.jsonl", lines)
    return count


def mistranscribe(batch: Path, accent: str) -> None:
    """Write every letter that speakers of an accent say as another."""
    lines = read_manifest(batch / "manifest.jsonl")
    for line in lines:
        if line["accent"] == accent:
            line["text"] = line["text"].translate(str.maketrans("abcde", "badce"))
    write_manifest(batch / "manifest.jsonl", lines)


def worktree(project: Path) -> Path:
    return project.with_name(f"{project.name}-retraining")
