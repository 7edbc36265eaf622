"""The writing side of tracking: what a stage calls. Nothing here imports MLflow or waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diminuendo.core.plain_text import without_secrets
from diminuendo.tracking.journal import (
    OUTBOX,
    TROUBLE,
    Journal,
    is_live,
    journals,
    lacks_only_files,
    on_their_way,
    sent_state,
)
from diminuendo.tracking.notes import say, tell_notes
from diminuendo.tracking.origin import source_state, trouble_with_source, versions
from diminuendo.tracking.readable import NOTE, acting, flat

PIPELINE = "DIMINUENDO_PIPELINE"  # id of the journal of the pipeline that the stage belongs to
SWITCH = "DIMINUENDO_TRACKING"  # "off": nothing is recorded
LOG = "sender.log"  # in the outbox
SECONDS_AFTER_FAILURE = 5.0


class Track:
    """A stage's run. With tracking off every call does nothing."""

    def __init__(self, journal: Journal | None = None, inside_pipeline: bool = False) -> None:
        self._journal = journal
        self._inside_pipeline = inside_pipeline
        self.refused: str | None = None

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Points of curves or, without ``step``, single figures."""
        self._add("metrics", values={name: float(value) for name, value in values.items()}, step=step)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Final figures, as metrics of the run and of the model that the stage makes.

        Nested keys are joined by ``/``; values that are not numbers are left out.
        """
        self._add("summary", values=_numbers(values))

    def model_metrics(self, digest: str, values: Mapping[str, float]) -> None:
        """Figures of a model that an earlier stage made, named by its digest."""
        self._add("model_metrics", digest=digest, values=_numbers(values))

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """A file, or a folder of files, as it is now."""
        self._add_file("artifact", Path(path), folder=folder)

    def tags(self, values: Mapping[str, str]) -> None:
        self._add("tags", values={name: str(value) for name, value in values.items()})

    def describe(self, markdown: str) -> None:
        """The description on the run's page."""
        self.tags({NOTE: markdown})

    def output(self, digest: str) -> None:
        """The digest of the stage's result, by which the run is found again."""
        self._add("tags", values={"output": digest})

    def model(self, path: str | Path, digest: str) -> None:
        """The ONNX file, as an MLflow model."""
        self._add_file("model", Path(path), digest=digest)

    def refuse(self, reason: str) -> None:
        """The run ends as FAILED although its code ran to the end: a list of runs shows it red, not green."""
        self.refused = reason

    def wait(self, seconds: float = 30.0, inside_pipeline: bool = False) -> None:
        """Wait until the run is delivered, or say why not. In a pipeline the pipeline waits, unless asked otherwise."""
        if self._journal is not None and (inside_pipeline or not self._inside_pipeline):
            deliver(seconds, only=self._journal.folder)

    def _add(self, event: str, **content: Any) -> None:
        if self._journal is not None:
            self._journal.add(event, **content)

    def _add_file(self, event: str, path: Path, **content: Any) -> None:
        if self._journal is None:
            return
        try:
            kept = self._journal.keep(path)
        except OSError as error:
            self._journal.lose(path.name, error)
        else:
            self._add(event, file=kept, **content)


@contextmanager
def stage_run(stage: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Track]:
    """The run of a stage, from here to the end of the block; how the block ends is recorded too."""
    if os.environ.get(SWITCH) == "off":
        yield Track()
        return
    pipeline = os.environ.get(PIPELINE)
    if pipeline and not is_live(OUTBOX / pipeline):
        pipeline = None
    all_tags = {"stage": stage, "member": name, **tags, **source_state(), **versions()}
    params = flat(acting(stage, parameters))
    journal = _journal(name, {"kind": "stage", "parent": pipeline, "params": params, "tags": all_tags})
    if journal is None:
        yield Track()
        return
    start_sender()
    track = Track(journal, inside_pipeline=pipeline is not None)
    with _ended(journal, track):
        yield track


@contextmanager
def pipeline_run(name: str, seconds: float = 60.0) -> Iterator[Track]:
    """The parent run of the stages; it reaches MLflow only when a stage has really run."""
    if os.environ.get(SWITCH) == "off":
        yield Track()
        return
    if trouble := trouble_with_source():
        say(f"runs are recorded without their commit: {trouble}")
    tags = {**source_state(), **versions()}
    journal = _journal(name, {"kind": "pipeline", "parent": None, "params": {}, "tags": tags})
    if journal is None:
        yield Track()
        return
    os.environ[PIPELINE] = journal.id
    try:
        track = Track(journal)
        with _ended(journal, track):
            yield track
    except BaseException:
        seconds = min(seconds, SECONDS_AFTER_FAILURE)  # somebody who interrupts a run does not wait for records
        raise
    finally:
        del os.environ[PIPELINE]
        deliver(seconds)


@contextmanager
def _ended(journal: Journal, track: Track) -> Iterator[None]:
    status, error = "FINISHED", None
    try:
        yield
        if track.refused is not None:
            status, error = "FAILED", track.refused
    except BaseException as problem:
        interrupted = isinstance(problem, (SystemExit, KeyboardInterrupt))
        status, error = "KILLED" if interrupted else "FAILED", without_secrets(f"{type(problem).__name__}: {problem}")
        raise
    finally:
        journal.add("end", status=status, error=error)
        journal.close()
        if journal.lost:
            say(f"{journal.lost} record(s) of {journal.name} could not be kept for MLflow: {journal.trouble}")


def _journal(name: str, start: dict[str, Any]) -> Journal | None:
    try:
        return Journal(name, start)
    except OSError as error:  # a full disk: a stage that can still write its result must not fail here
        say(f"{name} is not recorded in MLflow: its journal cannot be made: {error}")
        return None


def last_trouble() -> dict[str, Any] | None:
    """Why the sender last failed: ``time`` (s since the epoch), ``reason``, ``gave_up``."""
    try:
        return json.loads((OUTBOX / TROUBLE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def start_sender() -> subprocess.Popen | None:
    """Start the process that sends journals to MLflow; it ends at once if one is running already."""
    try:
        OUTBOX.mkdir(parents=True, exist_ok=True)
        with open(OUTBOX / LOG, "a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "diminuendo.tracking.sender"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it must survive to record a stage that is killed with its group
            )
    except OSError as error:  # no memory or no processes left: the next run sends it
        say(f"the sender cannot be started: {error}")
        return None


def deliver(seconds: float, only: Path | None = None) -> None:
    """Wait until the outbox, or one journal, is delivered; report on stderr what was not, and why."""

    def pending() -> list[Path]:
        return [folder for folder in on_their_way() if only is None or folder.name == only.name]

    left, reason = pending(), ""
    if left:
        left, reason = _wait(pending, seconds)
    tell_notes()
    if left:
        say(
            f"{len(left)} run(s) are not in MLflow yet: {reason}\n"
            f"tracking: the results are whole; what was to be recorded is kept in {OUTBOX} and sent by the next run"
        )
    for folder in journals():
        if not is_live(folder) and lacks_only_files(folder):
            say(
                f"files of a run are not in MLflow yet: {sent_state(folder)['later'][0][1]}\n"
                f"tracking: they are kept in {OUTBOX / folder.name} and sent by a later run, unless you remove it"
            )


def _wait(pending: Callable[[], list[Path]], seconds: float) -> tuple[list[Path], str]:
    """Wait for pending journals; returns those that are left, and why."""
    begin = time.time()
    sender = start_sender()
    while (left := pending()) and (waited := time.time() - begin) < seconds:
        trouble = last_trouble()
        if trouble is not None and trouble["time"] > begin and trouble["gave_up"]:
            return left, trouble["reason"]
        if sender is not None and sender.poll():
            return left, f"the sender ended with status {sender.returncode}; see {OUTBOX / LOG}"
        time.sleep(0.02 if waited < 1 else 0.1)
    trouble = last_trouble()
    return left, trouble["reason"] if trouble else f"not done after {seconds:.0f} s"


def _numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)):
            # A column of MLflow's tables shows only the first digits of 0.09974569087312800; files have all of them.
            found[f"{prefix}{key}"] = float(value) if float(value).is_integer() else float(f"{value:.4g}")
    return found
