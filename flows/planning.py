"""Plans a run, and runs until every file is verified."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.family import FAMILIES, Family, current
from diminuendo.parameters import Params, load_params
from diminuendo.parameters.surroundings import check_surroundings
from flows import dvc_command
from flows.dvc_lock import repository
from flows.graph import Graph, locked_names, order_lock_file, read_graph
from flows.healing import run_verified
from flows.side_pipeline import check_pipelines, write_pipeline
from flows.stage import StageFailed
from flows.verification import Report, verify


@dataclass(frozen=True)
class Plan:
    """``locked``: the names in the family's ``dvc.lock`` before the run; ``whole``: it covers all stages."""

    family: Family
    params: Params
    graph: Graph
    locked: list[str]
    whole: bool = True


def plan_run(stages: Sequence[str] = ()) -> Plan:
    """Check the parameters, bring the family's ``dvc.yaml`` up to date, and see what is out of date.

    Args:
        stages: names, such as ``distill@student``, beyond which nothing is run; all if there are none.

    Raises:
        diminuendo.core.errors.UserError: the parameters, or a pipeline, are not valid.
    """
    family = current()
    params = load_params(family.params)
    check_surroundings(params, family)
    write_pipeline(family)
    check_pipelines()
    graph = read_graph(family)
    part = graph.up_to(stages) if stages else graph
    return Plan(family, params, part, locked_names(family), whole=len(part.upstream) == len(graph.upstream))


def check_repository() -> None:
    """DVC can work here: there is a repository of it, and of git unless DVC is told to do without.

    Raises:
        UserError: there is none.
    """
    root = repository()
    if root is None:
        raise UserError(f"{Path.cwd()}: no DVC repository here or above; run this in a checkout, where .dvc is")
    if any((folder / ".git").exists() for folder in (root, *root.parents)) or _does_without_git(root):
        return
    raise UserError(
        f"{root} is not in a git repository (an unpacked archive?), and DVC works in one: clone the project instead, "
        "or make one here: git init && git add --all && git commit -m start. To go without git, and without the commit "
        f"in the records: {Path(sys.executable).with_name('dvc')} config --local core.no_scm true"
    )


def _does_without_git(root: Path) -> bool:
    from dvc.config import Config

    return str(Config(str(root / ".dvc"), validate=False).get("core", {}).get("no_scm", False)).lower() == "true"


def homes() -> list[Path]:
    """The folders with a ``dvc.lock``: DVC reads all of them, whichever family it works on."""
    return [Path(), *sorted(path.parent for path in FAMILIES.glob("*/dvc.yaml"))]


def run_to_the_end(work: Callable[[Plan, bool], None], say: Callable[[str], None], stages: Sequence[str] = ()) -> Plan:
    """Plan and run, verify the outputs, mend damaged files and run again; returns the last plan.

    Args:
        work: brings the family of a plan up to date; is also told whether it is called for the first time.
        say: receives a sentence for each file that is damaged, and how much was verified.

    Raises:
        StageFailed: a stage ended with an error, or files are damaged as soon as they are made.
    """
    plans: list[Plan] = []
    failures: list[StageFailed] = []

    def run() -> int:
        plans.append(plan_run(stages))
        failures.clear()
        dvc_command.begin()
        try:
            work(plans[-1], len(plans) == 1)
        except StageFailed as error:
            failures.append(error)
        finally:
            dvc_command.end_all()
            order_lock_file(plans[-1].graph, plans[-1].locked, plans[-1].family)
        return len(failures)

    def verified(is_done: bool) -> list[Report]:
        whole = is_done and plans[-1].whole  # after a partial run DVC says nothing about the rest
        return [verify(plans[-1].family.home, plans[-1].params.members, complete=whole, settled=whole)]

    status = run_verified(run, verified, say)
    if status:
        raise failures[0] if failures else StageFailed("verification", status, ["files do not stay as they are made"])
    return plans[-1]
