"""DVC's own graph of the stages, and which of them are out of date."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diminuendo.core.disk import disk_full
from diminuendo.core.errors import UserError
from diminuendo.family import Family, current
from flows.dvc_command import ROOT, environment
from flows.dvc_lock import patiently


@dataclass(frozen=True)
class Graph:
    """Stages in the order in which ``dvc repro`` runs them.

    Attributes:
        upstream: stage name to the names of the stages whose outputs it reads; its order is the order to run in.
        changed: stages that are out of date already, before any other has run. A stage that DVC always runs counts only
            if its output differs.
    """

    upstream: dict[str, tuple[str, ...]]
    changed: frozenset[str]

    def up_to(self, names: Sequence[str]) -> Graph:
        """The stages of these names and everything that they read.

        Raises:
            diminuendo.core.errors.UserError: there is no stage of such a name.
        """
        found: set[str] = set()
        for name in names:
            own = [address for address in self.upstream if name in (address, short(address))]
            if not own:
                known = ", ".join(short(address) for address in self.upstream)
                raise UserError(f"{name}: no stage is called so; there are: {known}")
            found.update(own)
        for address in reversed(self.upstream):  # readers of a stage's output come after it
            if address in found:
                found.update(self.upstream[address])
        return Graph({one: needs for one, needs in self.upstream.items() if one in found}, self.changed & found)

    def to_run(self) -> list[str]:
        """Stages that are out of date, and those that depend on them, in DVC's order."""
        found: set[str] = set()
        for name, needs in self.upstream.items():
            if name in self.changed or not found.isdisjoint(needs):
                found.add(name)
        return [name for name in self.upstream if name in found]

    def ready(self, done: set[str], started: set[str]) -> list[str]:
        """Stages that are not started and whose upstream is done, in order."""
        return [name for name, needs in self.upstream.items() if name not in started and done.issuperset(needs)]


def short(address: str) -> str:
    """A stage's name without the path of its ``dvc.yaml``."""
    return address.rpartition(":")[2]


def read_graph(family: Family | None = None) -> Graph:
    """Read the graph and the status of a family's stages, and of what they read, from DVC (about a second).

    Raises:
        diminuendo.core.errors.UserError: ``dvc.yaml`` or ``params.yaml`` is not what DVC accepts.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.reproduce import plan_repro

    pipeline = (family or current()).pipeline

    def read() -> Graph:
        with Repo(ROOT) as repo:
            graph = repo.index.graph
            own = [stage for stage in graph if stage.path_in_repo == pipeline.as_posix()]
            needed = set(own).union(*(_descendants(graph, stage) for stage in own))
            order = [stage for stage in plan_repro(graph) if stage in needed]
            upstream = {stage.addressing: _names(graph.successors(stage)) for stage in order}
            made = {stage.addressing for stage in order if stage.always_changed and _make(stage)}
            status = repo.status(targets=list(upstream)) if upstream else {}
            changed = {name for name, found in status.items() if found != ["always changed"] or name not in made}
            return Graph(upstream, frozenset(changed))

    try:
        return patiently(read)
    except DvcException as error:
        raise disk_full(error, ROOT) or UserError(str(error)) from error


def _descendants(graph, stage) -> set:
    """What a stage reads, directly or not: in DVC's graph arrows point to what is read."""
    from networkx import descendants

    return descendants(graph, stage)


def _make(stage) -> bool:
    """Run a stage that always runs, without DVC: its status then shows what changed.

    If it fails it counts as changed, and fails again where its message is visible.
    """
    return not subprocess.run(
        stage.cmd, shell=True, cwd=stage.wdir, env=environment(), stdin=subprocess.DEVNULL, capture_output=True
    ).returncode


def _names(stages) -> tuple[str, ...]:
    return tuple(sorted(stage.addressing for stage in stages))


def order_lock_file(graph: Graph, before: list[str], family: Family | None = None) -> None:
    """Put the entries of the family's ``dvc.lock`` in the order that ``dvc repro`` would have written them in.

    DVC appends an entry when its stage ends; with stages side by side, that order is random.

    Args:
        before: the names in the file before the run, see ``locked_names``; those of no stage come first, as they were.
    """
    from dvc.utils.serialize import modify_yaml

    from flows.lock_file import write_atomically

    path = _lock_file(family)
    if not path.exists():
        return
    write_atomically()
    own = list(map(short, graph.upstream))
    expected = [name for name in before if name not in own] + own
    names = locked_names(family)
    if names == sorted(names, key=expected.index):
        return
    with modify_yaml(str(path)) as content:
        content["stages"] = {name: content["stages"][name] for name in expected if name in content["stages"]}


def locked_names(family: Family | None = None) -> list[str]:
    """The names of the stages in the family's ``dvc.lock``, in its order."""
    from dvc.utils.serialize import load_yaml

    path = _lock_file(family)
    return list(load_yaml(str(path)).get("stages", {})) if path.exists() else []


def _lock_file(family: Family | None) -> Path:
    return ROOT / (family or current()).pipeline.with_name("dvc.lock")
