"""What a failed call of MLflow means: the store does not answer, the run is gone, or only this record is refused."""

from __future__ import annotations

from typing import Any

from mlflow.exceptions import MlflowException

from diminuendo.tracking.store import reason_of

_STATES = ("INVALID_STATE", "NOT_IMPLEMENTED")  # not 4xx, but a retry does not help
_LATER = (401, 403, 408, 425, 429, 499)  # 4xx that may change later: permissions, timeouts, load


class Verdict(Exception):
    """Why a delivery stops, for now or for ever."""


class StoreAway(Verdict):
    """The store does not answer, or accepts nothing: all records wait."""


class ExperimentGone(Verdict):
    """The experiment was deleted: opening the store again restores it or makes a new one."""


class RunGone(Verdict):
    """The run was deleted in MLflow; ``found``: whether it is still in MLflow's bin."""

    def __init__(self, found: bool) -> None:
        super().__init__("its run was deleted in MLflow")
        self.found = found


class Waits(Verdict):
    """The store accepts other records but not this one, and may accept it later."""


class Damaged(Verdict):
    """A journal that cannot become a run."""


def is_refusal(error: BaseException) -> bool:
    """Whether MLflow refuses this request for good."""
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return error.error_code in _STATES or (400 <= status < 500 and status not in _LATER)
    status = getattr(getattr(error, "response", None), "status_code", 0)  # of requests, for files sent to a server
    return isinstance(status, int) and 400 <= status < 500 and status not in _LATER


def look_around(client: Any, experiment: str, run: str | None, tag: tuple[str, str]) -> None:
    """After a failed call: return if the store works, so that the record itself is at fault.

    Args:
        run: the run that was written to; None if none is made yet.
        tag: a tag of the run or the experiment, written to see whether the store accepts anything.

    Raises:
        StoreAway, ExperimentGone, RunGone: the record is not at fault.
    """
    if not _is_active(_found(client.get_experiment, experiment)):
        raise ExperimentGone
    if run is not None:
        found = _found(client.get_run, run)
        if found is None or not _is_active(found.info):
            raise RunGone(found is not None)
    try:
        if run is None:
            client.set_experiment_tag(experiment, *tag)
        else:
            client.set_tag(run, *tag)
    except Exception as error:
        raise StoreAway(reason_of(error)) from error


def is_alive(client: Any, run: str) -> bool:
    """Whether the run is there and not deleted."""
    found = _found(client.get_run, run)
    return found is not None and _is_active(found.info)


def _found(get: Any, identity: str) -> Any:
    """The object with this id, None if there is none; either answer shows that the store works."""
    try:
        return get(identity)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise StoreAway(reason_of(error)) from error
    except Exception as error:
        raise StoreAway(reason_of(error)) from error


def _is_active(thing: Any) -> bool:
    return thing is not None and thing.lifecycle_stage == "active"
