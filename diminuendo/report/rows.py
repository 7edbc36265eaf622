"""The rows of the leaderboard, from what the evaluate stage measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.config.names import TEACHER
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.metrics.unit import MEASURES, Unit
from diminuendo.parameters.schema import Params
from diminuendo.report.coverage import Coverage, coverage_of
from diminuendo.report.family import chain_text
from diminuendo.report.hidden import Hidden, hidden_of
from diminuendo.report.rates import Rate, pair, rates_of


@dataclass(frozen=True)
class Row:
    """One member. Times are seconds, intervals (low, high); of ``rates`` see ``rates_of``."""

    member: str
    stage: str
    chain: str
    rates: dict[str, Rate]
    measure: str  # wer or cer, whichever report and gate go by
    hidden: Hidden
    blank_rate: float | None  # None: the file has no frames
    bytes: int
    times_smaller: float
    parameters: int
    sparsity: float
    real_time_factor: float  # with one thread
    real_time_factor_interval: tuple[float, float]
    times_faster: float  # with one thread
    times_faster_interval: tuple[float, float]
    real_time_factor_all: float
    times_faster_all: float
    latency_p50: float  # with one thread
    latency_p95: float
    latency_p99: float  # of every single run
    peak_bytes: int
    digest: str
    run: str | None  # MLflow run id
    link: str | None  # its address

    @property
    def is_teacher(self) -> bool:
        return self.member == TEACHER

    @property
    def errors(self) -> Rate:
        """The rate that members are compared by."""
        return self.rates[self.measure]


@dataclass(frozen=True)
class Report:
    """Everything that is shown. The teacher's row is first, then the others from the largest file to the smallest."""

    rows: tuple[Row, ...]
    unit: Unit  # of the errors that members are compared by
    normalizer: dict[str, str]  # see ``metrics.normalizers``
    emptied: int  # references that have no words after the normaliser
    unknown: dict[str, Any] | None  # characters of test that no model can write: how, characters, different
    resampled: dict[str, Any]  # what intervals draw: unit (speakers or utterances) and how many speakers are named
    noise: dict[str, Any] | None  # what members were tried with; see ``evaluation.noise.record_of``
    groups: dict[str, dict[str, dict[str, dict[str, Any]]]]  # key → value → member → utterances, wer, wer_interval …
    coverage: tuple[Coverage, ...]
    utterances: int
    seconds: float
    words: int
    confidence: float
    corpus: str
    machine: dict[str, Any]
    threads: int  # what "all" means
    timing_utterances: int
    timing_repeats: int
    timing_runs: int  # in which the members were timed, each beside the teacher


def build_report(
    params: Params,
    evaluation: Path,
    runs: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> Report:
    """Join accuracy, timing and the chains of the family.

    Args:
        runs: model digest to MLflow run id.
        links: run id to the address of its page.

    Raises:
        UserError: the evaluation is missing or belongs to another family than ``params``.
    """
    metrics, timing = _read(evaluation / "metrics.json"), _read(evaluation / "timing.json")
    _check_keys(metrics, timing, evaluation)
    members, unit = metrics["members"], MEASURES[metrics["measure"]]
    if set(members) != set(params.members):
        raise UserError(
            f"{evaluation}: of {sorted(members)}, expected {sorted(params.members)}; run {repro(evaluation)}"
        )
    one, every = str(min(timing["threads"])), str(max(timing["threads"]))
    teacher_bytes = members[TEACHER]["bytes"]
    rows = []
    for name, found in members.items():
        speed = timing["members"][name]
        run = (runs or {}).get(found["digest"])
        rows.append(
            Row(
                member=name,
                stage=params.members[name][0],
                chain=chain_text(params, name),
                rates=rates_of(found),
                measure=metrics["measure"],
                hidden=hidden_of(found, unit),
                blank_rate=found["blank_rate"],
                bytes=found["bytes"],
                times_smaller=teacher_bytes / found["bytes"],
                parameters=found["parameters"],
                sparsity=found["sparsity"],
                real_time_factor=speed[one]["real_time_factor"],
                real_time_factor_interval=pair(speed[one]["real_time_factor_interval"]),
                times_faster=speed[one]["times_faster"],
                times_faster_interval=pair(speed[one]["times_faster_interval"]),
                real_time_factor_all=speed[every]["real_time_factor"],
                times_faster_all=speed[every]["times_faster"],
                latency_p50=speed[one]["latency_p50"],
                latency_p95=speed[one]["latency_p95"],
                latency_p99=speed[one]["latency_p99"],
                peak_bytes=speed["peak_bytes"],
                digest=found["digest"],
                run=run,
                link=(links or {}).get(run) if run else None,
            )
        )
    rows.sort(key=lambda row: (not row.is_teacher, -row.bytes, row.member))
    return Report(
        rows=tuple(rows),
        unit=unit,
        normalizer=metrics["normalizer"],
        emptied=len(metrics["emptied"]),
        unknown=metrics.get("unknown"),
        resampled=metrics["resampled"],
        noise=metrics["noise"],
        groups=_groups(members, [row.member for row in rows]),
        coverage=coverage_of(members, [row.member for row in rows]),
        utterances=metrics["utterances"],
        seconds=metrics["seconds"],
        words=members[TEACHER]["words"],
        confidence=metrics["confidence"],
        corpus=metrics["corpus"],
        machine=timing["machine"],
        threads=int(every),
        timing_utterances=timing["utterances"],
        timing_repeats=timing["repeats"],
        timing_runs=len(timing["runs"]),
    )


def pareto_front(points: list[tuple[float, float]]) -> list[int]:
    """Indices of the Pareto-optimal points, in the order of the first coordinate.

    Both coordinates are better when smaller; of equal points the first is kept.
    """
    front: list[int] = []
    best = float("inf")
    for index in sorted(range(len(points)), key=lambda i: (*points[i], i)):
        if points[index][1] < best:
            front.append(index)
            best = points[index][1]
    return front


def _groups(members: dict[str, Any], order: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    keys = [key for key, values in members[TEACHER]["groups"].items() if values]
    return {
        key: {
            value: {name: members[name]["groups"][key][value] for name in order}
            for value in members[TEACHER]["groups"][key]
        }
        for key in keys
    }


def _check_keys(metrics: dict[str, Any], timing: dict[str, Any], evaluation: Path) -> None:
    """Refuse files of an earlier version, whose intervals are others and whose figures are fewer."""
    try:
        speeds = [figures[str(count)] for figures in timing["members"].values() for count in timing["threads"]]
        found = [
            ("metrics.json", [metrics], ("measure", "normalizer", "resampled", "noise")),
            ("metrics.json", metrics["members"].values(), ("no_worse", "hallucinated", "headline")),
            ("timing.json", speeds, ("latency_p99",)),
        ]
    except (KeyError, TypeError, AttributeError) as error:
        found, missing = [], f"{evaluation}: there is no {error} in its files"
    else:
        missing = ""
    for name, parts, keys in found:
        for key in keys:
            if not missing and any(key not in part for part in parts):
                missing = f"{evaluation / name}: has no {key!r}"
    if missing:
        raise UserError(
            f"{missing}: it was written by an earlier version of diminuendo; make it anew with "
            f"{repro(evaluation, 'evaluate')}"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run {repro(path, 'evaluate')}") from error
