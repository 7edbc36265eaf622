"""What a run is about to do: the family's graph, what of it is out of date, and the order of its lock file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diminuendo.config import Params, load_params
from diminuendo.family import Family, current
from flows.graph import Graph, locked_names, order_lock_file, read_graph
from flows.side_pipeline import write_pipeline
from flows.stage import bring_up_to_date


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


def plan_run(on_line: Callable[[str], None]) -> Plan:
    """Check the parameters, bring the family's ``dvc.yaml`` up to date, and see what is out of date.

    Raises:
        diminuendo.errors.UserError: the parameters, or a pipeline, are not valid.
        flows.stage.StageFailed: a stage that always runs failed.
    """
    family = current()
    params = load_params(family.params)
    write_pipeline(family)
    locked = locked_names(family)
    graph = read_graph(family)
    if graph.always:
        for stage in graph.always:
            bring_up_to_date(stage, on_line)
        graph = read_graph(family)
    return Plan(family, params, graph, locked)
