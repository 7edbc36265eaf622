"""``diminuendo reproduce``: build a model again in a clean clone at its commit, and compare the bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.artifact import lineage
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.provenance.checkpoint import OPTION, beginnings, chosen_for
from diminuendo.provenance.clean_clone import CleanClone
from diminuendo.provenance.descent import Model
from diminuendo.provenance.git import troubles
from diminuendo.provenance.history import commits_with, differing_stages
from diminuendo.provenance.places import CORPUS, Places, place_of
from diminuendo.provenance.promises import reasons_against, reasons_of_text
from diminuendo.provenance.raw_data import NOTHING, RawData, locate
from diminuendo.provenance.store import Run
from diminuendo.tracking.origin import versions

if TYPE_CHECKING:
    from diminuendo.provenance.difference import Difference

WORK = Path(".work/reproduce")
MOST_CLONES = 5  # commits whose corpus is tried
MOST_COMMITS = 50  # commits for which the raw data are searched


@dataclass(frozen=True)
class Outcome:
    """One model, as it was and as it was built again.

    Attributes:
        first: the first ancestor that differs (``corpus``, or a model's name), if the model does.
        difference: how far apart the files are; None if they are equal or the original cannot be found.
        not_promised: why other bytes may come out here, for each model of the ancestry where that is so.
    """

    model: Model
    commit: str
    digest: str
    first: str | None = None
    difference: Difference | None = None
    made_with: tuple[tuple[str, str], ...] = ()
    not_promised: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        return self.digest == self.model.digest

    def __str__(self) -> str:
        name = f"{self.model.name}  {self.model.digest[:12]}"
        if self.is_same:
            return f"{name}  the same bytes again, from commit {self.commit[:12]}"
        lines = [f"{name}  differs: now {self.digest[:12]}, from commit {self.commit[:12]}"]
        lines += [f"the same bytes are not promised: {reason}" for reason in self.not_promised]
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
            "not_promised": list(self.not_promised),
        }


def reproduce(
    models: list[Model],
    places: Places,
    environment: str,
    folder: Path | None = None,
    keep: bool = False,
    say: Callable[[str], None] = print,
    given: Mapping[str, Path] | None = None,
    checkpoints: Sequence[Path] = (),
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Build models again; those of one commit share a clone.

    Args:
        folder: where clones are made, and interrupted runs continue; ``.work/reproduce`` by default.
        keep: leave the clones where they are.
        given: parameter (``data.path``, ``data.collected``) to the folder that has these files.
        checkpoints: folders of pretrained checkpoints; what they do not have is searched.
        tell: gets each outcome as soon as it is known, before the next clone is made.

    Raises:
        UserError: no commit has the code, the raw data or the checkpoint cannot be found, or the build failed.
    """
    if places.project is None:
        raise UserError("no project here or above; give a clone of the repository with --project")
    if unknown := [m.name for model in models for m in model.chain() if m.record is None]:
        raise UserError(f"no file at hand says how {', '.join(unknown)} was made")
    if checkpoints and not any(m.checkpoint for model in models for m in model.chain()):
        raise UserError(f"{OPTION}: {', '.join(model.name for model in models)}: made without a pretrained checkpoint")
    runs = places.store.runs([digest for m in models for digest in (m.digest, *(c.digest for c in m.corpora()))])
    outcomes = []
    promised = {model.digest: (*reasons_against(model), *reasons_of_text(model, runs)) for model in models}
    for reason in dict.fromkeys(reason for reasons in promised.values() for reason in reasons):
        say(f"note: the same bytes are not promised: {reason}")
    chosen = chosen_for(places, models, checkpoints)
    groups = []
    for own in together(models):
        found = with_inputs(commits_of(own, places, runs, say), own, places, runs, given, chosen, say)
        first = list(islice(found, 1))  # what cannot be found is told before any clone is made
        groups.append((own, chain(first, found)))
    for own, commits in groups:
        clone, place = _clone_of(own, places, commits, environment, (folder or places.project / WORK).resolve(), say)
        ancestry = {m.digest: m for model in own for m in model.chain()}
        for made in ancestry.values():
            clone.build(stage_of(made), say, made.record["parameters"].get("threads"))
        for model in own:
            outcome = _compare(model, clone.commit, clone.root, places, runs.get(model.digest))
            outcomes.append(replace(outcome, not_promised=promised[model.digest]))
            tell(outcomes[-1])
        if not keep:
            shutil.rmtree(place)
    return outcomes


def together(models: list[Model]) -> list[list[Model]]:
    """Groups that can be built in one clone: of one corpus and one code, and no two models with the same name."""
    groups: list[tuple[set[str], dict[Any, str], list[Model]]] = []
    for model in models:
        corpora = {corpus.digest for corpus in model.corpora()}
        facts: dict[Any, str] = {m.name: m.digest for m in model.chain()}
        facts |= {lineage.scope_of(m.record): m.record["code"] for m in model.chain() if m.record is not None}
        for known_corpora, known, own in groups:
            if known_corpora == corpora and all(known.get(key, value) == value for key, value in facts.items()):
                known |= facts
                own.append(model)
                break
        else:
            groups.append((corpora, facts, [model]))
    return [own for _, _, own in groups]


def with_inputs(
    commits: Iterable[str],
    models: list[Model],
    places: Places,
    runs: dict[str, Run],
    given: Mapping[str, Path] | None,
    chosen: Mapping[str, Path],
    say: Callable[[str], None],
) -> Iterator[tuple[str, dict[str, RawData]]]:
    """The commits whose raw data, and the checkpoints that the models began with, can be found.

    Those with unchanged data come first. A checkpoint that has changed is as good as none.

    Raises:
        UserError: there is none. Nothing was cloned or installed yet.
    """
    changed, trouble = [], None
    any_whole = False
    corpus, begun = models[0].corpus, beginnings(places, models, chosen, say)
    for commit in islice(commits, MOST_COMMITS):
        try:
            found = locate(places, corpus, commit, runs.get(corpus.digest), given)
            found |= {parameter: beginning.at(commit) for parameter, beginning in begun.items()}
        except UserError as error:
            trouble = trouble or error
            continue
        if any(raw.changed for raw in found.values()):
            changed.append((commit, found))
        else:
            any_whole = True
            yield commit, found
    for commit, found in changed:
        for parameter, raw in found.items():
            if raw.changed:
                files = f"{len(raw.changed)} files of {raw.value} ({raw.by})"
                say(f"note: {parameter}: {files} are not what the corpus was made from, such as {raw.changed[0]}")
        yield commit, found
    if not changed and not any_whole and trouble is not None:
        raise trouble


def _clone_of(
    models: list[Model],
    places: Places,
    commits: Iterable[tuple[str, dict[str, RawData]]],
    environment: str,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[CleanClone, Path]:
    """A clone with the corpus of the models, and the folder that holds the clone.

    Several commits may have the code and differ in the data. The first one that gives the same corpus is used. If there
    is none, it is the first commit: the models will then differ, and the difference is measured.
    """
    chain = list({m.digest: m for model in models for m in model.chain()}.values())
    corpora = list({c.digest: c for model in models for c in model.corpora()}.values())
    wanted = models[0].corpus.digest
    clones: list[tuple[CleanClone, Path]] = []
    for commit, raw in islice(commits, MOST_CLONES):
        place = folder / f"{commit[:12]}-{models[0].digest[:8]}-{environment}"
        clone = CleanClone(places, commit, raw, place, environment)
        say(f"commit {commit[:12]}: {', '.join(model.name for model in models)} in {clone.root}")
        for parameter, own in raw.items():
            if own.kind != NOTHING:
                say(f"{parameter}: {own.value}, named by {own.by}" + ("" if own.is_checked else ", not checked yet"))
        clone.make(say)
        clone.set_parameters(chain, corpora, say)
        clones.append((clone, place))
        found = clone.prepare(say)
        if found == wanted:
            break
        say(f"the corpus of this commit is {found[:12]}, not {wanted[:12]}")
    else:
        say("no commit gives the same corpus here; going on with the first, to say how far the models are apart")
        clones.append(clones.pop(0))
    for _, place in clones[:-1]:
        shutil.rmtree(place)
    return clones[-1]


def stage_of(model: Model) -> str:
    """The DVC stage that makes a model."""
    return model.stage if model.stage == "train_teacher" else f"{model.stage}@{model.name}"


def commits_of(
    models: list[Model], places: Places, runs: dict[str, Run], say: Callable[[str], None] = print
) -> Iterator[str]:
    """The commits that have the code of the models and of their ancestors, the likeliest first.

    Those whose ``dvc.lock`` names the model or its corpus come before the ones that a run noted: retraining commits
    what it has made after it has made it.

    Raises:
        UserError: there is none in this repository.
    """
    target = models[0]
    own = {lineage.scope_of(model.record): model.record["code"] for model in models}
    code = {lineage.scope_of(m.record): m.record["code"] for model in models for m in model.chain()} | own
    ancestry = {m.digest: m for model in models for m in model.chain()}.values()
    if others := [m.name for m in ancestry if m.record["code"] != code[lineage.scope_of(m.record)]]:
        say(f"note: {', '.join(others)}: made by other code than another member of the same stage, whose is used")
    made = runs.get(target.corpus.digest)
    everything = {**code, **(made.covered if made else {})}
    stored = (places.stored_model(target), places.stored_corpus(target.corpus.digest))
    noted = [commit for found in stored for commit in islice(places.commits_with(found), MOST_CLONES)]
    made_by = (runs.get(target.digest), runs.get(target.corpus.digest))
    noted += [run.commit for run in made_by if run and run.commit]
    for wanted in (everything, code, own):
        found = commits_with(places.project, wanted, noted)
        first = next(found, None)
        if first is None:
            continue
        if wanted is not everything:
            others = ", ".join(differing_stages(places.project, first, everything))
            say(f"note: the code of {others} is not that of commit {first[:12]}, the nearest there is")
        yield first
        yield from found
        return
    why = "".join(f"\n  {trouble}" for trouble in troubles(places.project))
    raise UserError(
        f"{target.name} {target.digest[:12]}: no commit of {places.project} has the code that made it "
        f"({target.stage}: {target.record['code'][:12]}); fetch the branch or tag that it was made from{why}"
    )


def _made(root: Path, model: Model) -> Path:
    folder, product = place_of(model)
    return root / folder / product


def _compare(model: Model, commit: str, root: Path, places: Places, run: Run | None) -> Outcome:
    made = _made(root, model)
    digest = sha256_of(made)
    made_with = run.made_with if run else ()
    if digest == model.digest:
        return Outcome(model, commit, digest, made_with=made_with)
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.provenance.difference import measure_difference

    corpus = PreparedCorpus.open(root / CORPUS)
    first = "corpus" if model.corpus and corpus.digest != model.corpus.digest else None
    for ancestor in model.chain():
        if first is None and sha256_of(_made(root, ancestor)) != ancestor.digest:
            first = ancestor.name
    original = places.file_of(model)
    difference = measure_difference(original, made, corpus) if original else None
    return Outcome(model, commit, digest, first, difference, made_with)
