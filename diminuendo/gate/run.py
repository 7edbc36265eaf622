"""The gate as a whole: check the files, measure, judge, record the decision in MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo
from diminuendo.gate.decision import Decision, Party, Rule
from diminuendo.tracking.names import TAG_LENGTH, metric_name

if TYPE_CHECKING:
    from diminuendo.config.shipping import GateConfig
    from diminuendo.gate.inputs import Fetch, Model, Registered
    from diminuendo.parameters import Params

WORK = Path(".work/gate")
DECISION = "decision"  # name of the files that are logged
DIGEST_TAG = "decision.digest"


def gate(
    params: Params,
    candidate: Path,
    *,
    tests: Mapping[str, Path],
    champion: Registered | Path | None,
    fetch: Fetch,
    teacher: Path | None = None,
    evaluation: Path | None = Path("evaluation"),
    work: Path = WORK,
    say: Callable[[str], None] = print,
) -> Decision:
    """Judge a model file by the policy of ``params.yaml``.

    A rerun measures only what is missing, and speed again; each decision is its own MLflow run.

    Args:
        candidate: its ``model.onnx``.
        tests: label to folder of a prepared corpus; every rule about recognition holds on each. Speed is taken on the
            first.
        champion: what is shipped now: a version of the registry or a file. None where nothing is; the rules about it
            are then listed without being judged.
        fetch: brings a teacher that is not on this machine; see ``registry.logged.fetch_logged``.
        teacher: by default the one that the candidate's lineage names.
        evaluation: the pipeline's results, used if they belong to the same file, corpus and code.
        work: folder for measurements and downloads.

    Raises:
        Untrusted: the candidate, or a champion of the registry, is not signed as ``ship`` asks; nothing was measured.
        UserError: a file or test set is missing or damaged, or params.yaml has no section ``gate``.
    """
    if params.gate is None:
        raise UserError("params.yaml: gate: missing, and a gate needs limits; see docs/shipping.md")
    _check_growth(params.gate)
    from diminuendo.evaluation.scores import read_scores
    from diminuendo.gate import hidden, inputs, measure
    from diminuendo.gate.judge import Resampling, judge
    from diminuendo.metrics.normalizers import NO_NORMALIZER, normalizer_of
    from diminuendo.signing import policy_of

    normalizer = normalizer_of(params.evaluate.normalizer)
    model, policy = inputs.open_model(candidate), policy_of(params.ship)
    policy.admit_file(model.path, model.digest, model.lineage)
    if champion is not None and not isinstance(champion, Path) and champion.digest != model.digest:
        champion.admit(policy)
    master = inputs.open_model(teacher) if teacher else inputs.find_teacher(model, work / "models", fetch)
    reigning, version = _champion(champion, model, work / "models")
    corpora = measure.open_tests(tests)
    models = [model, master, *([reigning] if reigning else [])]
    folders = measure.hypotheses(models, list(corpora.values()), evaluation, work, say)
    scores = {
        label: [read_scores(folders[one.digest, corpus.digest], normalizer) for one in models]
        for label, corpus in corpora.items()
    }
    noise = params.evaluate.noise if hidden.are_asked_for(params.gate, params.evaluate) else None
    trials = {
        label: hidden.try_out(
            model,
            corpora[label],
            scores[label][0],
            noise,
            params.seed,
            normalizer,
            evaluation,
            work,
            say,
            teacher=None if params.gate.new_loops is None else (master, scores[label][1]),
        )
        for label in corpora
    }
    evidence = {
        label: measure.evidence_of(corpora[label], scores[label], params.evaluate, trials[label]) for label in corpora
    }
    say(f"timing {model.name} against {(reigning or master).name}, taking turns")
    timed = measure.speed(model, reigning or master, next(iter(corpora.values())), params.evaluate)
    resampling = Resampling(params.evaluate.bootstrap_samples, params.evaluate.confidence, params.seed)
    ratio = measure.ratio_of(timed) if reigning else None
    decision = Decision(
        candidate=_party(model),
        teacher=_party(master),
        champion=_party(reigning, version) if reigning else None,
        tests=tuple(
            measure.describe(label, corpora[label], scores[label], evidence[label], resampling) for label in corpora
        ),
        rules=judge(params.gate, model.bytes, evidence, ratio, resampling),
        policy=params.gate.model_dump(mode="json"),
        confidence=params.evaluate.confidence,
        speed=timed,
        notes=(*_notes(reigning, corpora), *measure.notes_on(scores, normalizer)),
        normalizer=NO_NORMALIZER if normalizer is None else normalizer.record,
    )
    return replace(decision, run=_record(decision))


def _check_growth(policy: GateConfig) -> None:
    """Refuse a growth of 1, which is a hundred points; YAML's ``true`` is read as 1."""
    for reference in ("teacher", "champion"):
        for name in ("wer", "group_wer", "deletions", "insertions"):
            if getattr(getattr(policy, reference), name) >= 1:
                raise UserError(
                    f"gate.{reference}.{name}: 1 (or true) lets anything pass; expected a share below 1, such as 0.02"
                )


def _champion(champion: Registered | Path | None, candidate: Model, folder: Path) -> tuple[Model | None, str | None]:
    from diminuendo.gate.inputs import open_model

    if champion is None:
        return None, None
    if isinstance(champion, Path):
        return open_model(champion), None
    if champion.digest == candidate.digest:  # a copy in the registry may be damaged; this file replaces it
        return candidate, champion.version
    return open_model(champion.download(folder)), champion.version


def _party(model: Model, version: str | None = None) -> Party:
    return Party(model.name, model.digest, model.bytes, version)


def _notes(champion: Model | None, corpora: Mapping) -> tuple[str, ...]:
    if champion is None:
        return ("There is no champion yet: the candidate was judged by itself and against its teacher.",)
    own = champion.lineage.get("corpus")
    if own and own not in {corpus.digest for corpus in corpora.values()}:
        return (f"The champion's own test set (corpus {own[:12]}…) is not among those judged on.",)
    return ()


def _record(decision: Decision) -> str | None:
    """Log the decision as its own run; returns the run's id once MLflow has it."""
    from diminuendo.core.files import write_json, write_text
    from diminuendo.gate.table import markdown, verdict
    from diminuendo.gate.wording import subject
    from diminuendo.tracking import stage_run

    parties = {"candidate": decision.candidate, "teacher": decision.teacher, "champion": decision.champion}
    tags = {
        **{f"input.{name}": party.digest for name, party in parties.items() if party is not None},
        "member": decision.candidate.name,
        "decision": decision.word,
        DIGEST_TAG: decision.digest,
        "corpora": ", ".join(test.corpus for test in decision.tests),
    }
    if not decision.passed:
        tags["refused"] = "; ".join(dict.fromkeys(map(subject, decision.refusals)))
    name = f"gate {decision.word} {decision.candidate.name}"
    with stage_run("gate", name, {"gate": decision.policy}, tags) as track, tempfile.TemporaryDirectory() as folder:
        track.metrics(_metrics(decision.rules))
        write_json(Path(folder, f"{DECISION}.json"), decision.as_dict())
        write_text(Path(folder, f"{DECISION}.md"), markdown(decision))
        for file in (f"{DECISION}.json", f"{DECISION}.md"):
            track.artifact(Path(folder, file))
        page = markdown(decision)
        track.describe(page if len(page) <= TAG_LENGTH else f"# {verdict(decision)}\n\nEvery rule: `{DECISION}.md`")
        if not decision.passed:
            track.refuse(verdict(decision))
    track.wait(inside_pipeline=True)
    return find_run(decision)


def _metrics(rules: tuple[Rule, ...]) -> dict[str, float]:
    found = {}
    for rule in rules:
        if rule.figure is None:
            continue
        name = metric_name(*(part for part in (rule.reference, rule.name, rule.test) if part))
        found[name] = rule.figure
        if rule.judged is not None and rule.judged != rule.figure:
            found[f"{name}/upper"] = rule.judged
    return found


def find_run(decision: Decision) -> str | None:
    """The MLflow run that records this decision; None, with a note, if the store does not answer."""
    from diminuendo.tracking.store import open_existing, store_trouble

    try:
        store = open_existing()
        if store is None or store[1] is None:
            return None
        client, experiment = store
        runs = client.search_runs([experiment], f"tags.`{DIGEST_TAG}` = '{decision.digest}'", max_results=1)
    except Exception as error:  # a decision is valid even if the store fails
        echo(f"tracking: the run of the gate is not known: {store_trouble(error)}", err=True)
        return None
    return runs[0].info.run_id if runs else None
