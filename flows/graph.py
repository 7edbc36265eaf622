"""DVC's own graph of the stages, and what of it is out of date."""

from __future__ import annotations

from dataclasses import dataclass

from flows.dvc_command import ROOT
from flows.dvc_lock import patiently


@dataclass(frozen=True)
class Graph:
    """Stages in the order in which ``dvc repro`` runs them.

    Attributes:
        upstream: stage name to the names of the stages whose outputs it reads; its order is the order to run in.
        changed: stages that are out of date already, before any other has run.
    """

    upstream: dict[str, tuple[str, ...]]
    changed: frozenset[str]

    def ready(self, done: set[str], started: set[str]) -> list[str]:
        """Stages not started whose upstream is done, first come first."""
        return [name for name, needs in self.upstream.items() if name not in started and done.issuperset(needs)]


def read_graph() -> Graph:
    """Read the graph and the status from DVC (about two seconds).

    Raises:
        diminuendo.errors.UserError: ``dvc.yaml`` or ``params.yaml`` is not what DVC accepts.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.reproduce import plan_repro

    from diminuendo.errors import UserError

    def read() -> Graph:
        with Repo(ROOT) as repo:
            graph = repo.index.graph
            order = plan_repro(graph)
            upstream = {stage.addressing: _names(graph.successors(stage)) for stage in order}
            return Graph(upstream, frozenset(repo.status()))

    try:
        return patiently(read)
    except DvcException as error:
        raise UserError(str(error)) from error


def _names(stages) -> tuple[str, ...]:
    return tuple(sorted(stage.addressing for stage in stages))


def order_lock_file(graph: Graph, before: list[str]) -> None:
    """Put the entries of ``dvc.lock`` in the order that ``dvc repro`` would have written them in.

    DVC appends an entry when its stage is done first; side by side, that order is chance.

    Args:
        before: the names in the file before the run, see ``locked_names``; they keep their places.
    """
    from dvc.utils.serialize import modify_yaml

    path = ROOT / "dvc.lock"
    if not path.exists():
        return
    expected = before + [name for name in graph.upstream if name not in before]
    if locked_names() == sorted(locked_names(), key=expected.index):
        return
    with modify_yaml(str(path)) as content:
        content["stages"] = {name: content["stages"][name] for name in expected if name in content["stages"]}


def locked_names() -> list[str]:
    """The names of the stages in ``dvc.lock``, in its order."""
    from dvc.utils.serialize import load_yaml

    path = ROOT / "dvc.lock"
    return list(load_yaml(str(path)).get("stages", {})) if path.exists() else []
