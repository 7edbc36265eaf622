"""What a run is about to do: the family's graph, what of it is out of date, and the order of its lock file."""

from __future__ import annotations

from dataclasses import dataclass

from diminuendo.config import Params, load_params
from diminuendo.family import Family, current
from flows.graph import Graph, locked_names, order_lock_file, read_graph
from flows.side_pipeline import write_pipeline


@dataclass(frozen=True)
class Plan:
    """``locked``: the names in the family's ``dvc.lock`` before the run."""

    family: Family
    params: Params
    graph: Graph
    locked: list[str]

    def tidy_up(self) -> None:
        """Put ``dvc.lock`` into the order that DVC itself would have written."""
        order_lock_file(self.graph, self.locked, self.family)


def plan_run() -> Plan:
    """Check the parameters, bring the family's ``dvc.yaml`` up to date, and see what is out of date.

    Raises:
        diminuendo.errors.UserError: the parameters, or a pipeline, are not valid.
    """
    family = current()
    params = load_params(family.params)
    write_pipeline(family)
    locked = locked_names(family)
    return Plan(family, params, read_graph(family), locked)
