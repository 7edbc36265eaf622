"""Adds batches to the collection; records that cannot be used go to quarantine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diminuendo.collection.batches import Batch, refuse
from diminuendo.collection.check import check_batch
from diminuendo.collection.collected import Collection
from diminuendo.collection.known import read_known
from diminuendo.collection.quarantine import put_in_quarantine, report
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import in_markdown, one_line
from diminuendo.parameters.schema import Params


@dataclass
class Outcome:
    """What was done with some batches.

    Attributes:
        added: for each batch that is used, what ``batches.json`` says of it.
        set_aside: for each batch that is not used, its name, its share of bad records and where it is now.
        quarantined: batch name to the folder of its bad records.
    """

    added: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"added": self.added, "set_aside": self.set_aside, "quarantined": self.quarantined}


def collect(
    batches: Sequence[Batch],
    params: Params,
    folder: Path,
    quarantine: Path,
    prepared: Path,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Add batches to the collection in ``folder``, one after the other.

    The same batches, collection and prepared corpus give the same bytes. A batch with more than
    ``retrain.quarantine_limit`` of bad records is set aside whole.

    Args:
        prepared: the corpus without the batches; speakers stay in the splits that they have there.
    """

    def set_aside(batch: Batch, reason: str, share: float, bad: list[str], page: str = "") -> None:
        decision = {"batch": one_line(batch.name), "reason": reason, "problems": bad}
        try:
            told = f"{page}\n{in_markdown(reason)}: nothing of it was used.\n"
            place = str(refuse(batch, quarantine, decision, told))
        except (OSError, UserError) as error:  # it stays where it is, and the others go on
            place, reason = str(batch.folder), f"{reason}; it cannot be moved to quarantine: {one_line(error)}"
        name = one_line(batch.name)
        outcome.set_aside.append({"name": name, "share_bad": share, "reason": reason, "folder": one_line(place)})
        say(f"{name}: set aside: {reason}; see {one_line(place)}")

    known, collection, outcome = read_known(params, prepared), Collection(folder), Outcome()
    for batch in batches:
        learned = known.copy()  # forget what was learned from a batch that is not used
        if batch.trouble:
            set_aside(batch, f"it cannot be read: {batch.trouble}", 1.0, [])
            continue
        checked = check_batch(batch, params, learned)
        bad, total = len(checked.bad_lines), len(checked.bad_lines) + len(checked.good)
        if checked.share_bad > params.retrain.quarantine_limit or not checked.good:
            share = round(checked.share_bad, 4)
            limit = params.retrain.quarantine_limit
            reason = f"{bad} of {total} records cannot be used, more than retrain.quarantine_limit ({limit:g}) allows"
            set_aside(batch, reason, share, [str(problem) for problem in checked.bad], report(checked))
            continue
        known = learned
        place = put_in_quarantine(checked, quarantine)
        outcome.added.append(collection.add(checked, known))
        told = ", ".join(f"{count} to {split}" for split, count in outcome.added[-1]["records"].items() if count)
        say(f"{batch.name}: {len(checked.good)} of {total} records used ({told})")
        if place is not None:
            outcome.quarantined[batch.name] = str(place)
            say(f"{batch.name}: {bad} in quarantine, with the reasons: {place}")
    return outcome
