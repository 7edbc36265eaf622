"""Writes one run to MLflow from the events of its journal. A value that MLflow refuses is left out and reported."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric, Param, RunTag

from diminuendo.tracking.digests import OF_ARTIFACT, model_tag, of_artifact
from diminuendo.tracking.mlflow_model import write_mlflow_model
from diminuendo.tracking.names import KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH, metric_name, model_name, text
from diminuendo.tracking.readable import NOTE, description, shown_tags
from diminuendo.tracking.refusal import Verdict, is_alive
from diminuendo.tracking.store import reason_of

BATCH = 900  # MLflow accepts 1000 metrics at once
PARAMS = 100
SHOWN = 3  # names in a sentence
T = TypeVar("T")


class Recorder:
    """Writes to the run ``state["run"]``. A call may be repeated; nothing is recorded twice.

    Args:
        judge: receives the error of a call. It returns if MLflow refuses just this record, and raises otherwise.
        tell: gives a sentence to the user, once.
    """

    def __init__(
        self,
        client: Any,
        experiment: str,
        folder: Path,
        start: dict[str, Any],
        state: dict[str, Any],
        judge: Callable[[Exception], None],
        tell: Callable[[str], None],
    ) -> None:
        self.client, self.experiment = client, experiment
        self.folder, self.start, self.state = folder, start, state
        self._judge, self._tell = judge, tell

    @property
    def run(self) -> str:
        return self.state["run"]

    # One method per event of the journal.

    def metrics(self, *events: dict[str, Any]) -> None:
        self._log_metrics(
            self.run,
            [
                Metric(metric_name(key), value, event["time"], event.get("step") or 0)
                for event in events
                for key, value in event["values"].items()
            ],
        )

    def summary(self, event: dict[str, Any]) -> None:
        self.metrics({**event, "step": None})
        # As text: the state is JSON, which has neither NaN nor infinity.
        self.state["summary"] = {
            **self.state.get("summary", {}),
            **{key: value if math.isfinite(value) else str(value) for key, value in event["values"].items()},
        }

    def model_metrics(self, event: dict[str, Any]) -> None:
        # On the run that made the model too: there the columns of all members can be compared.
        for model in self._models(event["digest"]):
            if model.source_run_id is None or is_alive(self.client, model.source_run_id):
                self._link(model.source_run_id or self.run, model.model_id, event["values"], event["time"])
                return
        homeless = self.state.setdefault("homeless", [])
        if event["digest"] not in homeless:
            homeless.append(event["digest"])

    def artifact(self, event: dict[str, Any]) -> None:
        path = self.folder / event["file"]
        if not path.exists():
            self._tell(f"{path.name} of {self.start['name']} is left out: its copy in the outbox is gone")
            return
        place = "/".join(part for part in (event.get("folder"), path.name) if part)

        def log(_: Sequence[Path]) -> None:
            if path.is_dir():
                self.client.log_artifacts(self.run, str(path), place)
            else:
                self.client.log_artifact(self.run, str(path), event.get("folder"))

        self._write([path], log, "file")
        self._log_tags({OF_ARTIFACT + place: of_artifact(path)})

    def tags(self, event: dict[str, Any]) -> None:
        values = event["values"]
        if "output" in values and NOTE not in values:
            values = {**values, NOTE: description(self.start, values["output"])}
        self._log_tags(values)

    def model(self, event: dict[str, Any]) -> None:
        path = self.folder / event["file"]
        if not path.exists():
            self._tell(f"the model of {self.start['name']} is left out: its copy in the outbox is gone")
            return
        self._write([path], lambda _: self._log_model(path, event), "model")

    def end(self, event: dict[str, Any]) -> None:
        if event.get("error"):
            self._log_tags({"error": event["error"][:5000]})
        ended = [event["status"]]
        self._write(ended, lambda _: self.client.set_terminated(self.run, ended[0], end_time=event["time"]), "status")
        if self.state.get("homeless"):
            self._tell(
                f"the figures that {self.start['name']} measured of {len(self.state['homeless'])} model(s) are only "
                "in its files: MLflow has no run that made them, as after a deletion, or where DVC's cache had them"
            )
        self.state["ended"] = True

    # What an event is made of.

    def inputs(self) -> None:
        """The models that the run read."""
        parents = [digest for key, digest in self.start["tags"].items() if key.startswith("input.")]
        found = [model[0].model_id for digest in parents if (model := self._models(digest))]
        if found:
            have = {model.model_id for model in self.client.get_run(self.run).inputs.model_inputs}
            inputs = [LoggedModelInput(model_id=model) for model in dict.fromkeys(found) if model not in have]
            self._write(inputs, lambda some: self.client.log_inputs(self.run, models=list(some)), "input")

    def parameters(self) -> None:
        values = self._cut("parameter", self.start["params"], PARAM_LENGTH)
        params = [Param(key, value) for key, value in values.items()]
        for first in range(0, len(params), PARAMS):
            some = params[first : first + PARAMS]
            self._write(some, lambda some: self.client.log_batch(self.run, params=list(some)), "parameter")

    def describe(self) -> None:
        """The tags that the run has from its start."""
        note = {NOTE: description(self.start)} if "stage" in self.start["tags"] else {}
        self._log_tags({**shown_tags(self.start["tags"]), **note})

    def _log_metrics(self, run: str, metrics: list[Metric]) -> None:
        for first in range(0, len(metrics), BATCH):
            some = metrics[first : first + BATCH]
            self._write(some, lambda some: self.client.log_batch(run, metrics=list(some)), "figure")

    def _log_tags(self, values: dict[str, Any]) -> None:
        tags = [RunTag(key, value) for key, value in self._cut("tag", values, TAG_LENGTH).items()]
        self._write(tags, lambda some: self.client.log_batch(self.run, tags=list(some)), "tag")

    def _log_model(self, path: Path, event: dict[str, Any]) -> None:
        digest, name = event["digest"], self.start["name"]
        found = self._models(digest, run=self.run)
        if found:
            model = found[0]
        else:
            tags = {"digest": digest, "stage": self.start["tags"].get("stage", "")}
            params = self._cut("parameter", self.start["params"], PARAM_LENGTH)
            model = self.client.create_logged_model(
                self.experiment, model_name(name), self.run, tags, params, model_type="asr"
            )
        if model.status != LoggedModelStatus.READY:
            with tempfile.TemporaryDirectory() as place:
                write_mlflow_model(Path(place), path, model, self.run)
                self.client.set_logged_model_tags(model.model_id, model_tag(Path(place)))
                self.client.log_model_artifacts(model.model_id, place)
        if model.model_id not in {made.model_id for made in self.client.get_run(self.run).outputs.model_outputs}:
            self.client.log_outputs(self.run, models=[LoggedModelOutput(model.model_id, step=0)])
        if model.status != LoggedModelStatus.READY:
            self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        summary = {key: float(value) for key, value in self.state.get("summary", {}).items()}
        self._link(self.run, model.model_id, summary, event["time"])

    def _link(self, run: str, model: str, values: dict[str, float], time: int) -> None:
        """Figures of a run and of a model; MLflow would show 0 for a model's figure that is not a number."""
        whole = {key: value for key, value in values.items() if not _is_nan(value)}
        self._log_metrics(
            run, [Metric(metric_name(key), value, time, 0, model_id=model, run_id=run) for key, value in whole.items()]
        )
        without = [key for key in values if key not in whole]
        self._log_metrics(run, [Metric(metric_name(key), math.nan, time, 0) for key in without])
        if without:
            self._tell(
                f"{_counted('figure', without)} measured in {self.start['name']} {_are(without)} not a number "
                f"({_listed(without)}): the run in MLflow says so, and its model has none"
            )

    def _models(self, digest: str, run: str | None = None) -> list[Any]:
        """MLflow's models of this digest, newest first."""
        if not digest.isalnum():  # no digest, and no text for a filter
            return []
        return list(
            self.client.search_logged_models(
                [self.experiment],
                filter_string=f"tags.digest = '{digest}'" + (f" AND source_run_id = '{run}'" if run else ""),
                max_results=20,
                order_by=[{"field_name": "creation_timestamp", "ascending": False}],
            )
        )

    def _cut(self, kind: str, values: dict[str, Any], length: int) -> dict[str, str]:
        """Names and values as MLflow accepts them; cuts are reported."""
        found = {metric_name(key): text(str(value), length) for key, value in values.items()}
        cut = [key for key, value in values.items() if len(str(value)) > length]
        if cut:
            self._tell(
                f"{_counted(kind, cut)} of {self.start['name']} {_are(cut)} longer than MLflow takes, "
                f"and cut to {length} characters: {_listed(cut)}"
            )
        return found

    def _write(self, items: Sequence[T], write: Callable[[Sequence[T]], None], kind: str) -> None:
        """Write all items at once or, if MLflow refuses that, each of those that it accepts."""
        refused: list[tuple[T, Exception]] = []
        self._halve(items, write, refused)
        if not refused:
            return
        names = [_name_of(item) for item, _ in refused]
        told = self.state.setdefault("told", [])
        new = [name for name in dict.fromkeys(names) if f"{kind} {name}" not in told]
        told += [f"{kind} {name}" for name in new]
        if new:
            self._tell(
                f"{_counted(kind, new)} of {self.start['name']} {'was' if len(new) == 1 else 'were'} refused by "
                f"MLflow ({_listed(new)}): {reason_of(refused[0][1])}"
            )

    def _halve(self, items: Sequence[T], write: Callable, refused: list[tuple[T, Exception]]) -> None:
        if not items:
            return
        try:
            write(items)
        except Verdict:
            raise
        except Exception as error:
            self._judge(error)
            if len(items) == 1:
                refused.append((items[0], error))
                return
            middle = len(items) // 2
            self._halve(items[:middle], write, refused)
            self._halve(items[middle:], write, refused)


def _name_of(item: Any) -> str:
    names = (getattr(item, attribute, None) for attribute in ("key", "name", "model_id"))
    return next((name for name in names if name), str(item))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _counted(kind: str, names: Sequence[str]) -> str:
    return f"{len(names)} {kind}{'' if len(names) == 1 else 's'}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(text(name, KEY_LENGTH) for name in list(dict.fromkeys(names))[:SHOWN])
    return shown + (", …" if len(set(names)) > SHOWN else "")
