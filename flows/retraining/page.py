"""A run of retraining in words: the Prefect artifact, the message, the decision beside a refused batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diminuendo.gate.decision import Decision, Party, Rule, Test


def batches_page(outcome: dict[str, Any]) -> str:
    """What became of the batches, as Markdown."""
    if not outcome["added"] and not outcome["set_aside"]:
        return "No new batch.\n"
    rows = []
    for facts in outcome["added"]:
        bad = facts["quarantined"]
        reasons = ", ".join(f"{count} × {kind}" for kind, count in bad.items()) or "—"
        counts = facts["records"]
        rows.append(f"| {facts['name']} | {counts['train']} | {counts['dev']} | {counts['test']} | {reasons} |")
    for aside in outcome["set_aside"]:
        rows.append(f"| {aside['name']} | 0 | 0 | 0 | set aside: {aside['reason']} |")
    places = [f"`{place}`" for place in outcome["quarantined"].values()]
    places += [f"`{aside['folder']}`" for aside in outcome["set_aside"]]
    head = "| batch | train | dev | test | in quarantine |\n|---|---:|---:|---:|---|\n"
    where = f"\nIn quarantine, with the reasons: {', '.join(places)}\n" if places else ""
    return head + "\n".join(rows) + "\n" + where


def whole_page(title: str, facts: Sequence[tuple[str, str]], parts: Sequence[tuple[str, str]]) -> str:
    """A page with a list of facts and headed parts, as Markdown."""
    told = "".join(f"- {name}: {value}\n" for name, value in facts if value)
    return f"# {title}\n\n{told}" + "".join(f"\n## {heading}\n\n{text.strip()}\n" for heading, text in parts if text)


def refusals(decision: Decision) -> str:
    """The rules that refused, one a line."""
    return "\n".join(
        " ".join(str(part) for part in (rule.reference, rule.test or "", rule.name, rule.about) if part)
        + f": {rule.judged:.4g}, limit {rule.limit:.4g}"
        for rule in decision.refusals
        if rule.judged is not None
    )


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
        run=run,
    )
