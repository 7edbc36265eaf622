"""Reports of a retraining run: the Prefect artifact, the message, the decision beside a refused batch."""

from __future__ import annotations

import re
from typing import Any

from diminuendo.core.plain_text import in_markdown
from diminuendo.gate.decision import Decision, Party, Rule, Test
from diminuendo.gate.table import markdown
from diminuendo.gate.wording import sentence
from flows.retraining.run import PROMOTED, REFUSED, Run


def batches_page(outcome: dict[str, Any]) -> str:
    """What was done with the batches, as Markdown."""
    if not outcome["added"] and not outcome["set_aside"]:
        return "No new batch.\n"
    rows = []
    for facts in outcome["added"]:
        bad = facts["quarantined"]
        reasons = ", ".join(f"{count} × {kind}" for kind, count in bad.items()) or "—"
        counts = facts["records"]
        rows.append(
            f"| {in_markdown(facts['name'])} | {counts['train']} | {counts['dev']} | {counts['test']} | {reasons} |"
        )
    for aside in outcome["set_aside"]:
        rows.append(f"| {in_markdown(aside['name'])} | 0 | 0 | 0 | set aside: {in_markdown(aside['reason'])} |")
    places = [f"`{place}`" for place in outcome["quarantined"].values()]
    places += [f"`{aside['folder']}`" for aside in outcome["set_aside"]]
    head = "| batch | train | dev | test | in quarantine |\n|---|---:|---:|---:|---|\n"
    where = f"\nIn quarantine, with the reasons: {', '.join(places)}\n" if places else ""
    return head + "\n".join(rows) + "\n" + where


def page_of(run: Run, name: str, message: str, verdict: Decision | None) -> str:
    """The whole run, as Markdown."""
    tag = tag_of(run, name)
    facts = [
        ("outcome", message),
        ("run", run.memory["run"]),
        ("git tag", f"`{tag}`" if tag else ""),
        ("checkout", f"`{run.memory['main'][:12]}`"),
        ("gate run in MLflow", f"`{verdict.run}`" if verdict is not None and verdict.run else ""),
    ]
    parts = [
        ("Batches", batches_page(run.memory["outcome"])),
        ("Gate", markdown(verdict) if verdict is not None else ""),
        ("Drift", _drift(run)["page"]),
    ]
    told = "".join(f"- {key}: {value}\n" for key, value in facts if value)
    headed = "".join(f"\n## {heading}\n\n{_lower(text)}\n" for heading, text in parts if text)
    return f"# Retraining: {name}\n\n{told}{headed}"


def message_of(run: Run, message: str, verdict: Decision | None) -> str:
    """The run in a few lines, for a chat."""
    outcome = run.memory["outcome"]
    lines = [message, *(f"drift: {warning}" for warning in _drift(run)["warnings"])]
    if verdict is not None and not verdict.passed:
        lines.append(refusals(verdict))
    lines += [f"{batch}: bad records in {place}" for batch, place in outcome["quarantined"].items()]
    lines += [f"{aside['name']}: set aside, {aside['reason']}" for aside in outcome["set_aside"]]
    return "\n".join(lines)


def content_of(run: Run, name: str, message: str) -> dict[str, Any]:
    """The run in figures, for a program."""
    facts = {"run": run.memory["run"], "outcome": name, "message": message, "tag": tag_of(run, name)}
    return {**facts, **run.memory["outcome"], "drift": _drift(run)["warnings"]}


def tag_of(run: Run, name: str) -> str:
    """The git tag of a run that ended so; empty where it has none."""
    return {PROMOTED: run.tag, REFUSED: f"{run.tag}-refused"}.get(name, "")


def _drift(run: Run) -> dict[str, Any]:
    return run.memory.facts.get("drift", {"warnings": [], "page": ""})


def _lower(text: str) -> str:
    """Headings below those of the page."""
    return re.sub(r"^#+ ", "### ", text.strip(), flags=re.MULTILINE)


def refusals(decision: Decision) -> str:
    """The rules that refused, one a line: what was found, the limit, what to do about it."""
    return "\n".join(map(sentence, decision.refusals))


def decision_of(plain: dict[str, Any], run: str | None) -> Decision:
    """The decision that ``Decision.as_dict`` gave."""

    def rule(facts: dict[str, Any]) -> Rule:
        interval = facts["interval"]
        return Rule(**{**facts, "interval": None if interval is None else tuple(interval)})

    return Decision(
        candidate=Party(**plain["candidate"]),
        teacher=Party(**plain["teacher"]),
        champion=Party(**plain["champion"]) if plain["champion"] else None,
        tests=tuple(Test(**facts) for facts in plain["tests"]),
        rules=tuple(map(rule, plain["rules"])),
        policy=plain["policy"],
        confidence=plain["confidence"],
        speed=plain["speed"],
        notes=tuple(plain["notes"]),
        normalizer=plain["normalizer"],
        run=run,
    )
