"""Compares the new model with the champion: drift of the data, and the gate on both test sets."""

from __future__ import annotations

import json
from logging import Logger
from pathlib import Path

from diminuendo.gate.decision import Decision
from flows.retraining.champion import PREPARED, corpus_of
from flows.retraining.run import Run
from flows.retraining.signing import sign_candidate
from flows.retraining.workspace import COLLECTED

DRIFT, NEW = Path(".work/drift"), Path(".work/new-recordings.jsonl")


def judge(run: Run, logger: Logger) -> Decision | None:
    """Drift and the gate, against the champion; None if the champion is the same model.

    Raises:
        Untrusted: the champion is not signed as ``ship`` asks.
    """
    from diminuendo import registry
    from diminuendo.core.files import sha256_of
    from diminuendo.gate import gate
    from diminuendo.gate.table import terminal
    from diminuendo.registry.logged import fetch_logged
    from diminuendo.signing import policy_of

    champion = registry.champion(run.params.ship.model)
    if champion is not None:
        champion.admit(policy_of(run.params.ship))  # before its commit and its corpus are believed
    if champion is not None and champion.digest == sha256_of(run.model):
        return None
    sign_candidate(run.model, run.params.ship)
    tests = {"new": PREPARED}
    if champion is not None:
        corpus = corpus_of(champion, run.workspace)
        if corpus.resolve() != PREPARED.resolve():
            tests["champion"] = corpus
        report_drift(run, corpus, logger)
    decision = gate(run.params, run.model, tests=tests, champion=champion, fetch=fetch_logged, say=logger.info)
    logger.info("gate: %s\n%s", decision.word, terminal(decision))
    return decision


def report_drift(run: Run, reference: Path, logger: Logger) -> None:
    """Compare the new recordings with what the champion was trained on; into ``.work/drift``."""
    from diminuendo.core.files import write_text

    added = {facts["name"] for facts in run.memory["outcome"]["added"]}
    if not added or run.params.drift is None:
        return
    from diminuendo.drift import compare, statistics_of, write_report

    lines = []
    for split in ("train", "dev", "test"):
        path = COLLECTED / f"{split}.jsonl"
        for raw in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            line = json.loads(raw)
            if line["batch"] in added:
                line["audio_filepath"] = str((COLLECTED / line["audio_filepath"]).resolve())
                lines.append(json.dumps(line, ensure_ascii=False))
    write_text(NEW, "".join(f"{line}\n" for line in lines))
    lowercase = run.params.text.lowercase
    old = statistics_of(reference, lowercase, splits=("train",))
    report = compare(old, statistics_of(NEW, lowercase), run.params.drift)
    write_report(report, DRIFT)
    for warning in report.warnings:
        logger.warning("drift: %s", warning)
    run.memory.note(drift={"warnings": list(report.warnings), "page": report.markdown()})


def champion_then(verdict: Decision) -> str | None:
    """Digest of the champion that a decision is about; None if there was none."""
    return verdict.champion.digest if verdict.champion else None


def outdated(run: Run, verdict: Decision) -> bool:
    """Whether a third model has become champion since."""
    from diminuendo import registry

    champion = registry.champion(run.params.ship.model)
    return not registry.still_holds(champion_then(verdict), verdict.candidate.digest, champion)


def why_not(run: Run, verdict: Decision) -> str | None:
    """Why the new model is not promoted: the gate, or an earlier withdrawal of the same model. None if it is."""
    from diminuendo import registry

    if not verdict.passed:
        return "the gate refused the new model"
    versions = registry.versions(run.params.ship.model)
    withdrawn = next((v.address for v in versions if v.digest == verdict.candidate.digest and v.withdrawn), None)
    return f"the new model is {withdrawn}, which was withdrawn" if withdrawn else None
