"""What each part of distillation is worth: one student, trained again with one thing changed.

    python -m benchmarks.distillation student [--epochs N] [--only NAME …]

The student is that of ``params.yaml``; every row changes one thing of it and is trained with the same seed, and scored
on dev and test from a stored file. Rows that are done already are not trained again, and a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from diminuendo.artifact.onnx_file import MODEL
from diminuendo.cli.errors import plain_errors
from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, sha256_of, write_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.accuracy import HYPOTHESES, measure_accuracy
from diminuendo.evaluation.scoring import Bootstrap, rate
from diminuendo.export.write import export_model
from diminuendo.family import current
from diminuendo.models.model import SpeechModel
from diminuendo.models.registry import build, record_of
from diminuendo.models.store import load_model
from diminuendo.parameters import load_params
from diminuendo.training.trainer import train


def variants(member: DistillConfig, epochs: int, subsampling: int) -> dict[str, dict]:
    """Row to what it changes of the member.

    Args:
        epochs: of the member as it is.
        subsampling: of the teacher.
    """
    layers = member.architecture.layers
    return {
        "as it is": {},
        "alone (CTC only, random start)": {"initialise": "random", "losses": {"kl": 0.0, "hidden": 0.0}},
        "random start": {"initialise": "random", "teacher_layers": None},
        "start from the teacher's first layers": {"initialise": "teacher", "teacher_layers": list(range(layers))},
        "the family's frontend and frame rate": {"architecture": {"frontend": None, "subsampling": subsampling}},
        "every epoch drawn anew": {"training": {"augmentation_copies": None}},
        "one draw for all epochs": {"training": {"augmentation_copies": 1}},
        "unlabelled audio too": {"training": {"unlabelled": True}},
        "without hidden states": {"losses": {"hidden": 0.0}},
        "without frame posteriors": {"losses": {"kl": 0.0}},
        "without CTC": {"losses": {"ctc": 0.0}},
        "frame posteriors × 4": {"losses": {"kl": 4.0}},
        "temperature 2": {"losses": {"temperature": 2.0}},
        "the teacher's transcript too": {"losses": {"sequence": 0.5}},
        "CTC on the middle layer": {"losses": {"intermediate": 0.3}},
        "twice the epochs": {"training": {"epochs": 2 * epochs, "dev_every": 2 * epochs}},
        "four times the epochs": {"training": {"epochs": 4 * epochs, "dev_every": 4 * epochs}},
    }


def changed(settings: dict, change: dict) -> dict:
    """Settings with some keys of their sections replaced."""
    merged = dict(settings)
    for key, value in change.items():
        merged[key] = {**(merged.get(key) or {}), **value} if isinstance(value, dict) else value
    return merged


def student_named(params, name: str) -> DistillConfig:
    """A member of the section ``distill``; raises ``UserError`` for another name."""
    if name not in params.distill:
        known = ", ".join(params.distill) or "none"
        raise UserError(f"{name}: no member of section distill in params.yaml; there are: {known}")
    return params.distill[name]


def settings_of(params, member: str, change: dict) -> tuple[DistillConfig, TrainingConfig]:
    config = DistillConfig(
        **changed(student_named(params, member).model_dump(by_alias=True, exclude_none=True), change)
    )
    own = config.training.model_dump(exclude_none=True)
    return config, TrainingConfig(**{**params.training.model_dump(), **own})


def train_row(
    params,
    config: DistillConfig,
    training: TrainingConfig,
    corpus,
    teacher: SpeechModel,
    out: Path,
    layer_map: Sequence[int] | None = None,
) -> dict:
    """Train one student and score its stored file; returns dev WER and seconds.

    Args:
        layer_map: the teacher's layers that the student's follow, if not those that they start from.
    """
    torch.manual_seed(params.seed)
    record = record_of(config.architecture, params.frontend, corpus.sample_rate, len(corpus.tokens))
    student = build(record)
    if config.initialise == "teacher":
        initialise_from_teacher(student, teacher, config.teacher_layers)
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    taught = teacher if config.losses.needs_teacher else None
    history = train(
        student,
        corpus,
        training,
        config.losses,
        seed=params.seed,
        work=work,
        teacher=taught,
        layer_map=layer_map or config.teacher_layers,
        name=out.name,
    )
    export_model(out / MODEL, student, name="student", tokens=corpus.tokens, lineage={})
    measure_accuracy(out / MODEL, corpus, out)
    dev = [row["dev_wer"] for row in history if "dev_wer" in row][-1]
    return {"dev": dev, "seconds": time.monotonic() - begin}


def errors_of(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Word errors and reference words of every test utterance."""
    lines = [json.loads(line) for line in (folder / HYPOTHESES).read_text(encoding="utf-8").splitlines()]
    wrong = [line["substitutions"] + line["deletions"] + line["insertions"] for line in lines]
    return np.array(wrong), np.array([line["words"] for line in lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("member", help="a student of params.yaml's section distill")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--models", type=Path, default=current().models)
    parser.add_argument("--out", type=Path, default=Path(".work/distillation"))
    parser.add_argument("--epochs", type=int, help="of every row, in place of the member's own")
    parser.add_argument("--only", nargs="*", help="rows, by their names")
    options = parser.parse_args()
    with plain_errors():
        print_table(options)


def print_table(options: argparse.Namespace) -> None:
    """Train and print the rows; raises ``UserError`` for an unknown member."""
    params = load_params()
    member = student_named(params, options.member)
    corpus = PreparedCorpus.open(options.corpus)
    epochs = options.epochs or params.training_of(options.member).epochs
    shortened = {"training": {"epochs": epochs, "dev_every": epochs}} if options.epochs else {}
    teacher = load_model(options.models / member.parent).model
    taught = sha256_of(options.models / member.parent / MODEL)
    first: np.ndarray | None = None
    print(f"| {options.member} | dev WER % | test WER % | interval | difference | interval | seconds |")
    print("|:---|---:|---:|---:|---:|---:|---:|", flush=True)
    for name, change in variants(member, epochs, params.teacher.architecture.subsampling).items():
        if options.only and name not in options.only and name != "as it is":
            continue
        config, training = settings_of(params, options.member, changed(shortened, change))
        inputs = [params.seed, config.model_dump(mode="json"), training.model_dump(mode="json"), corpus.digest, taught]
        out = options.out / options.member / digest_of_json(inputs)[:12]
        done = out / "row.json"
        if not done.exists():
            write_json(done, train_row(params, config, training, corpus, teacher, out))
        row = json.loads(done.read_text())
        errors, words = errors_of(out)
        bootstrap = Bootstrap(len(errors), params.evaluate.bootstrap_samples, params.evaluate.confidence, params.seed)
        rates = bootstrap.rates(errors, words)
        first = rates if first is None else first
        wer, difference = bootstrap.interval(rates), bootstrap.interval(rates - first)
        print(
            f"| {name} | {row['dev']:.1%} | {100 * rate(errors, words):.1f} | "
            f"[{100 * wer.low:.1f}, {100 * wer.high:.1f}] | {100 * float(np.mean(rates - first)):+.1f} | "
            f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}] | {row['seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
