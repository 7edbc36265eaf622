"""From the digest of a result back to the MLflow run that made it."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

from diminuendo.core.plain_text import echo, without_credentials
from diminuendo.tracking.journal import on_their_way
from diminuendo.tracking.store import open_client, store_trouble, tracking_uri
from diminuendo.tracking.track import SWITCH, last_trouble, start_sender


def runs_of_digests(digests: list[str], patience: float = 20.0) -> dict[str, str]:
    """Output digest to MLflow run id, the newest run of each; a digest without a run is left out.

    A result from DVC's cache has no new run: the earlier run that made it is the answer. Waits up to ``patience``
    seconds for runs that are being delivered; empty, with a note, if the store does not answer.
    """
    if os.environ.get(SWITCH) == "off":
        return {}
    _let_arrive(patience)
    found = {}
    try:
        client, experiment = _store()
        for digest in digests:
            condition, newest = f"tags.output = '{digest}'", ["attributes.start_time DESC"]
            runs = client.search_runs([experiment], condition, max_results=1, order_by=newest)
            if runs:
                found[digest] = runs[0].info.run_id
    except Exception as error:  # a report without run ids is better than none
        echo(f"tracking: run ids are left out: {store_trouble(error)}", err=True)
    return found


def run_of_digest(digest: str, patience: float = 20.0) -> str | None:
    """The MLflow run that made the result of this digest, or None."""
    return runs_of_digests([digest], patience).get(digest)


def link(run: str) -> str | None:
    """Address of the run's page on the tracking server; None without one: what `make ui` serves may be gone.

    It stands in the report: whoever opens it says who they are, and not who made the report.
    """
    uri = without_credentials(tracking_uri())
    return f"{uri.rstrip('/')}/#/experiments/{_store()[1]}/runs/{run}" if uri.startswith("http") else None


@cache
def _store() -> tuple[Any, str]:
    return open_client()


def _let_arrive(patience: float) -> None:
    if not on_their_way():
        return
    begin = time.time()
    start_sender()
    while on_their_way() and time.time() - begin < patience:
        trouble = last_trouble()
        if trouble is not None and trouble["time"] > begin and trouble["gave_up"]:
            return
        time.sleep(0.1)
