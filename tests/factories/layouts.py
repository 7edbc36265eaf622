"""Small corpora in the layouts of others, for the tests of ``import``."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import soundfile
from click.testing import CliRunner

from diminuendo.cli import main
from tests.factories.audio import RATE, read_manifest, spoken

TEXTS = ("dad cab", "bed ace", "ab ba cab", "ace bed", "cab dad", "ba ab")


def sound(index: int = 0, seconds: float | None = None, rate: int = RATE) -> np.ndarray:
    """float32 [N] that differs with ``index``."""
    found = spoken(TEXTS[index % len(TEXTS)], index, np.random.default_rng([5, index]), rate)
    return found if seconds is None else np.resize(found, round(seconds * rate))


def write_sound(path: Path, index: int = 0, seconds: float | None = None) -> float:
    """A file of ``sound``; returns its length in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = sound(index, seconds)
    soundfile.write(path, samples, RATE)
    return len(samples) / RATE


def encoded(index: int = 0, kind: str = "FLAC") -> bytes:
    """The content of a sound file."""
    file = io.BytesIO()
    soundfile.write(file, sound(index), RATE, format=kind)
    return file.getvalue()


def run_import(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of ``diminuendo import``."""
    result = CliRunner().invoke(main, ["import", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def imported(*arguments: object, out: Path) -> dict[str, list[dict]]:
    """The lines of each manifest that ``diminuendo import`` writes to ``out``."""
    status, _, err = run_import(*arguments, "--out", out)
    assert status == 0, err
    return {split: read_manifest(out / f"{split}.jsonl") for split in ("train", "dev", "test")}


def refused(*arguments: object) -> str:
    """The error of a command that ends with one, and writes nothing."""
    status, out, err = run_import(*arguments)
    assert status != 0 and err.startswith("error: "), (out, err)
    return err


def every(splits: dict[str, list[dict]]) -> list[dict]:
    return [line for lines in splits.values() for line in lines]


def heard(folder: Path, line: dict) -> np.ndarray:
    """The samples that a manifest's line names, first channel."""
    with soundfile.SoundFile(folder / line["audio_filepath"]) as file:
        file.seek(round(line.get("offset", 0.0) * file.samplerate))
        return file.read(round(line["duration"] * file.samplerate), dtype="float32", always_2d=True)[:, 0]


def write_lines(path: Path, lines: list) -> Path:
    """Texts, or objects as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path
