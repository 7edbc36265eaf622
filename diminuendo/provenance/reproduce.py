"""``diminuendo reproduce``: build a model again in a clean clone at its commit, and compare the bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo import lineage
from diminuendo.errors import UserError
from diminuendo.files import sha256_of
from diminuendo.provenance.clean_clone import CleanClone
from diminuendo.provenance.descent import Model
from diminuendo.provenance.history import commit_with, differing_stages
from diminuendo.provenance.places import CORPUS, MODELS, Places, Run
from diminuendo.tracking.origin import versions

if TYPE_CHECKING:
    from diminuendo.provenance.difference import Difference

WORK = Path(".work/reproduce")


@dataclass(frozen=True)
class Outcome:
    """One model, then and now.

    Attributes:
        first: what of its ancestry differed first, where it is not the same (``corpus``, or a model's name).
        difference: how far apart the files are; None where they are the same or the first is not at hand.
    """

    model: Model
    commit: str
    digest: str
    first: str | None = None
    difference: Difference | None = None
    made_with: tuple[tuple[str, str], ...] = ()

    @property
    def is_same(self) -> bool:
        return self.digest == self.model.digest

    def __str__(self) -> str:
        name = f"{self.model.name}  {self.model.digest[:12]}"
        if self.is_same:
            return f"{name}  the same bytes again, from commit {self.commit[:12]}"
        lines = [f"{name}  differs: now {self.digest[:12]}, from commit {self.commit[:12]}"]
        if self.first and self.first != self.model.name:
            lines.append(f"what differed first: {self.first}")
        lines.append(str(self.difference) if self.difference else "the file itself is not at hand to be compared with")
        if self.made_with:
            now = versions()
            lines.append("made with " + ", ".join(f"{k} {v} (here {now.get(k, 'none')})" for k, v in self.made_with))
        return "\n  ".join(lines)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.model.name,
            "digest": self.model.digest,
            "commit": self.commit,
            "now": self.digest,
            "same": self.is_same,
            "differed_first": self.first,
            "difference": asdict(self.difference) if self.difference else None,
            "made_with": dict(self.made_with),
        }


def reproduce(
    models: list[Model],
    places: Places,
    environment: str,
    folder: Path | None = None,
    keep: bool = False,
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Build models again, those of one commit in one clone.

    Args:
        folder: where clones are made; a run that was interrupted goes on there. ``.work/reproduce`` by default.
        keep: leave the clones where they are.

    Raises:
        UserError: no commit has the code, the raw data are not at hand, or the build failed.
    """
    if places.project is None:
        raise UserError("no project here or above; give a clone of the repository with --project")
    runs = places.runs([digest for m in models for digest in (m.digest, *(c.digest for c in m.corpora()))])
    alike: dict[tuple[str, int | None], list[Model]] = {}
    for model in models:
        alike.setdefault((commit_of(model, places, runs, say), threads_of(model)), []).append(model)
    outcomes = []
    for (commit, threads), own in alike.items():
        place = (folder or places.project / WORK).resolve() / f"{commit[:12]}-{threads or 'any'}"
        clone = CleanClone(places, commit, place, environment, threads)
        say(f"commit {commit[:12]}: {', '.join(model.name for model in own)} in {clone.root}")
        clone.make(say)
        chain = list({m.digest: m for model in own for m in model.chain()}.values())
        clone.check_parameters(chain, [c for model in own for c in model.corpora()], say)
        clone.build([stage_of(model) for model in own])
        outcomes += [_compare(model, commit, clone.root, places, runs.get(model.digest)) for model in own]
        if not keep:
            shutil.rmtree(place)
    return outcomes


def stage_of(model: Model) -> str:
    """The DVC stage that makes a model."""
    return model.stage if model.stage == "train_teacher" else f"{model.stage}@{model.name}"


def threads_of(model: Model) -> int | None:
    """Threads that the model's ancestors were trained with; None where nothing was trained."""
    return next((m.record["parameters"]["threads"] for m in model.chain() if "threads" in m.record["parameters"]), None)


def commit_of(model: Model, places: Places, runs: dict[str, Run], say: Callable[[str], None] = print) -> str:
    """The commit that has the code of the model and of its ancestors.

    Raises:
        UserError: there is none in this repository.
    """
    if unknown := [m.name for m in model.chain() if m.record is None]:
        raise UserError(f"{model.name}: its file does not say how {', '.join(unknown)} was made")
    own = {model.stage: model.record["code"]}
    code = {m.stage: m.record["code"] for m in model.chain()} | own
    made = runs.get(model.corpus.digest)
    everything = {**code, **({"prepare": made.code} if made and made.code else {})}
    run = runs.get(model.digest)
    noted = [run.commit] if run and run.commit else []
    if commit := commit_with(places.project, everything, noted):
        return commit
    commit = commit_with(places.project, code, noted) or commit_with(places.project, own, noted)
    if commit is None:
        raise UserError(
            f"{model.name} {model.digest[:12]}: no commit of {places.project} has the code that made it "
            f"({model.stage}: {model.record['code'][:12]}); fetch the branch or tag that it was made from"
        )
    others = ", ".join(differing_stages(places.project, commit, everything))
    say(f"note: {model.name}: the code of {others} is not that of commit {commit[:12]}, the nearest there is")
    return commit


def _compare(model: Model, commit: str, root: Path, places: Places, run: Run | None) -> Outcome:
    made = root / MODELS / model.name / lineage.MODEL
    digest = sha256_of(made)
    made_with = run.made_with if run else ()
    if digest == model.digest:
        return Outcome(model, commit, digest, made_with=made_with)
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.provenance.difference import measure_difference

    corpus = PreparedCorpus.open(root / CORPUS)
    first = "corpus" if model.corpus and corpus.digest != model.corpus.digest else None
    for ancestor in model.chain():
        if first is None and sha256_of(root / MODELS / ancestor.name / lineage.MODEL) != ancestor.digest:
            first = ancestor.name
    original = places.file_of(model)
    difference = measure_difference(original, made, corpus) if original else None
    return Outcome(model, commit, digest, first, difference, made_with)
