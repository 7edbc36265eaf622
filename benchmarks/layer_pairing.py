"""Which layers of the teacher a student's hidden states follow: those that it starts from, or those of before.

    python -m benchmarks.layer_pairing student [--hidden W] [--seeds N] [--epochs N]

Until the two had one map, layer ``i`` of ``S``, counted from 1, followed layer ``round(i × L / S)`` of ``L``, whatever
it had started from. The student is that of ``params.yaml`` with ``losses.hidden``; each seed trains it once in each
way. Rows that are done already are not trained again, and a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.distillation import errors_of, settings_of, train_row
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.cli.errors import plain_errors
from diminuendo.core.files import digest_of_json, sha256_of, write_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.scoring import Bootstrap
from diminuendo.family import current
from diminuendo.metrics.error_rates import rate
from diminuendo.models.layer_map import layer_map
from diminuendo.models.store import load_model
from diminuendo.parameters import load_params


def earlier_map(student_layers: int, teacher_layers: int) -> list[int]:
    """The teacher's layer, from 0, for every layer of the student, as the hidden-state loss had it."""
    return [max(0, round((i + 1) * teacher_layers / student_layers) - 1) for i in range(student_layers)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("member", help="a student of params.yaml's section distill")
    parser.add_argument("--hidden", type=float, default=1.0, help="weight of the loss; 1.0 by default")
    parser.add_argument("--seeds", type=int, default=3, help="how many; 3 by default")
    parser.add_argument("--epochs", type=int, help="in place of the member's own")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--models", type=Path, default=current().models)
    parser.add_argument("--out", type=Path, default=Path(".work/layer_pairing"))
    options = parser.parse_args()
    with plain_errors():
        print_table(options)


def print_table(options: argparse.Namespace) -> None:
    """Train and print the rows; raises ``UserError`` for an unknown member."""
    params = load_params()
    change: dict = {"losses": {"hidden": options.hidden}}
    if options.epochs:
        change["training"] = {"epochs": options.epochs, "dev_every": options.epochs}
    config, training = settings_of(params, options.member, change)
    corpus, folder = PreparedCorpus.open(options.corpus), options.models / config.parent
    teacher, taught = load_model(folder).model, sha256_of(folder / MODEL)
    ours, theirs = config.architecture.layers, len(teacher.layers)
    maps = {"as before": earlier_map(ours, theirs), "as it starts": layer_map(ours, theirs, config.teacher_layers)}
    print(f"| seed | {' | '.join(f'{name} {layers}: dev, test WER %' for name, layers in maps.items())} |")
    print("|---:|---:|---:|", flush=True)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in maps}
    for seed in range(params.seed, params.seed + options.seeds):
        cells = []
        for name, layers in maps.items():
            inputs = [
                seed,
                layers,
                config.model_dump(mode="json"),
                training.model_dump(mode="json"),
                corpus.digest,
                taught,
            ]
            out = options.out / options.member / digest_of_json(inputs)[:12]
            done = out / "row.json"
            if not done.exists():
                seeded = params.model_copy(update={"seed": seed})
                write_json(done, train_row(seeded, config, training, corpus, teacher, out, layers))
            errors, words = errors_of(out)
            found[name].append((errors, words))
            cells.append(f"{100 * json.loads(done.read_text())['dev']:.1f}, {100 * rate(errors, words):.1f}")
        print(f"| {seed} | {' | '.join(cells)} |", flush=True)
    print(difference(found["as before"], found["as it starts"], params))


def difference(before: list, now: list, params) -> str:
    """The mean over seeds of the difference on test, with an interval over utterances."""
    bootstrap = Bootstrap(len(before[0][0]), params.evaluate.bootstrap_samples, params.evaluate.confidence, params.seed)
    rates = [np.mean([bootstrap.rates(*one) for one in runs], axis=0) for runs in (before, now)]
    interval, mean = bootstrap.interval(rates[1] - rates[0]), float(np.mean(rates[1] - rates[0]))
    return f"test WER, now less before: {100 * mean:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"


if __name__ == "__main__":
    main()
