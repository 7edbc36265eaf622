"""The model card: what to know before using a model, taken from the file and from measurements.

After Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.artifact.lineage import PRETRAINED, digest_of_checkpoint
from diminuendo.compression.registry import TECHNIQUES, description_of
from diminuendo.core.plain_text import in_markdown
from diminuendo.data.text import SPACE
from diminuendo.evaluation.loops import ALL
from diminuendo.gate import wording
from diminuendo.gate.decision import NOT_JUDGED, Decision, Test
from diminuendo.metrics import normalizers
from diminuendo.metrics.unit import CHARACTERS, EDITS, UNITS
from diminuendo.report import format as as_text

if TYPE_CHECKING:
    from diminuendo.gate.inputs import Model

TEMPLATE = Path(__file__).with_name("card.md.j2")
DESCRIPTION_CHARACTERS = 5000  # the limit of MLflow's databases
CUT = "\n\n… The whole card is `model_card.md` among the artifacts of the model.\n"


def model_card(name: str, file: Model, decision: Decision, forced: str = "") -> str:
    """The card as Markdown.

    Args:
        name: the name in the registry.
        decision: the gate's decision about this file.
        forced: why it was registered although the gate refused it.
    """
    import jinja2

    metadata = _metadata(file)
    refused = [wording.subject(rule) for rule in decision.refusals]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        file=file,
        decision=decision,
        judged=sum(rule.verdict != NOT_JUDGED for rule in decision.rules),
        forced=in_markdown(forced),
        notes=list(map(in_markdown, decision.notes)),
        refused=", ".join(dict.fromkeys(refused)),
        sample_rate=metadata["sample_rate"],
        tokens=metadata["tokens"],
        corpus=_corpus(file.lineage),
        facts=_limits(file, decision, metadata),
        chain=_chain(file),
        groups=_groups(decision),
        invented=[sentence for test in decision.tests for sentence in _invented(test)],
        percent=as_text.percent,
        size=as_text.size,
        real_time=as_text.real_time,
        milliseconds=as_text.milliseconds,
        limits=_interval,
        edits=_edits,
        counted=_counted(decision),
        raw=not normalizers.is_none(decision.normalizer),
        normalised=normalizers.told(decision.normalizer),
    )


def description(card: str) -> str:
    """The card, or as many of its paragraphs as fit into the description of a version in MLflow."""
    if len(card) <= DESCRIPTION_CHARACTERS:
        return card
    room = DESCRIPTION_CHARACTERS - len(CUT)
    return card[: card.rfind("\n", 0, room)].rstrip() + CUT


def _metadata(file: Model) -> dict[str, Any]:
    import json

    import onnx

    from diminuendo.artifact.onnx_file import read_metadata

    found = read_metadata(onnx.load(str(file.path), load_external_data=False))
    tokens = json.loads(found["tokens"])
    return {"sample_rate": int(found["sample_rate"]), "tokens": len(tokens), "letters": tokens}


def _corpus(lineage: dict[str, Any]) -> str:
    digest = lineage.get("corpus")
    if not digest:
        return "Not stated by the file."
    summary = lineage.get("corpora", {}).get(digest)
    if not summary:
        return f"Corpus `{digest}`; the file says no more of it."
    source, rate = in_markdown(summary.get("source", "not stated")), summary.get("sample_rate", "?")
    lines = [f"Source: {source}, {rate} Hz; digest `{digest}`.", ""]
    lines += ["| split | utterances | hours | words | speakers |", "|:---|---:|---:|---:|---:|"]
    for split, found in summary.get("splits", {}).items():
        hours = f"{found['seconds'] / 3600:.2f}"
        counts = f"{found['utterances']} | {hours} | {found.get('words', '?')} | {found['speakers'] or '?'}"
        lines.append(f"| {in_markdown(split)} | {counts} |")
    return "\n".join(lines)


def _limits(file: Model, decision: Decision, metadata: dict[str, Any]) -> list[str]:
    """What the figures do not cover; each sentence rests on something that was counted."""
    shortest = min(test.shortest for test in decision.tests)
    longest = max(test.longest for test in decision.tests)
    speakers = [f"{test.speakers or 'an unknown number of'} speakers ({test.label})" for test in decision.tests]
    facts = [
        f"Judged on utterances of {shortest:.1f} to {longest:.1f} s; on none that is shorter or longer.",
        f"Judged on {', '.join(speakers)}.",
    ]
    summary = file.lineage.get("corpora", {}).get(file.lineage.get("corpus"), {})
    if summary.get("source") == "synthetic":
        facts.append("Its corpus is synthetic speech: how it does on people was not measured.")
    for found in _checkpoints([file.lineage, *file.lineage.get("ancestors", {}).values()]):
        facts.append(
            f"Its weights descend from {_named(found)} (licence: {in_markdown(found['licence'])}); what that was "
            "trained on is not among the corpora here."
        )
    if metadata["sample_rate"] < 16000:
        facts.append(f"It uses no frequencies above {metadata['sample_rate'] // 2} Hz.")
    least = decision.policy["min_group_utterances"]
    small = sorted(
        {
            in_markdown(f"{key} {value} ({found['utterances']})")
            for test in decision.tests
            for key, values in test.figures["candidate"]["groups"].items()
            for value, found in values.items()
            if found["utterances"] < least
        }
    )
    if small:
        facts.append(f"Groups with fewer than {least} test utterances were not judged: {', '.join(small)}.")
    if not any(test.figures["candidate"]["groups"] for test in decision.tests):
        facts.append("The test recordings name no groups: whom it serves worse was not measured.")
    letters = [token for token in metadata["letters"] if len(token) == 1 and token != SPACE]
    if len(letters) > len(metadata["letters"]) / 2 and len(letters) <= 80:
        facts.append(f"It can write these characters and no others: space {in_markdown(' '.join(letters))}")
    facts.append("Intervals are about the choice of utterances, not of speakers or of recording conditions.")
    return facts


def _chain(file: Model) -> list[str]:
    """From the model up to its oldest ancestor, nearest first."""
    records = {file.digest: file.lineage, **file.lineage.get("ancestors", {})}
    waiting, seen, lines = [file.digest], set(), []
    while waiting:
        digest = waiting.pop(0)
        if digest in seen:
            continue
        seen.add(digest)
        record = records.get(digest, {})
        parents = record.get("parents", {})
        made = f" from {in_markdown(', '.join(parents))}" if parents else ""
        stage = in_markdown(record.get("stage", "not stated")).replace("_", " ")
        lines.append(f"{in_markdown(record.get('name', '?'))}: {stage}{_technique(record)}{made}; `{digest}`")
        lines += [f"{_named(facts)}, licence: {in_markdown(facts['licence'])}, {len(facts['files'])} files; "
                  f"`{digest_of_checkpoint(facts)}`" for facts in _checkpoints([record])]  # fmt: skip
        waiting += list(parents.values())
    return lines


def _checkpoints(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What records say of the pretrained checkpoints that models began with."""
    found = {digest_of_checkpoint(record[PRETRAINED]): record[PRETRAINED] for record in records if PRETRAINED in record}
    return list(found.values())


def _named(facts: dict[str, Any]) -> str:
    """The name of a checkpoint, and its commit if it has one."""
    named = f"{facts['source']} at {facts['revision'][:12]}" if "revision" in facts else facts["source"]
    return in_markdown(named)


def _technique(record: dict[str, Any]) -> str:
    """In brackets, what the stage's name does not say; nothing for the teacher and for stages of other versions."""
    stage = record.get("stage")
    words = description_of(stage).in_record(record.get("parameters", {})) if stage in TECHNIQUES else ""
    return f" ({words})" if words else ""


def _groups(decision: Decision) -> list[list[str]]:
    return [
        [
            test.label,
            in_markdown(f"{key} {value}"),
            str(found["utterances"]),
            UNITS[test.unit].rate.upper(),
            as_text.percent(found[UNITS[test.unit].rate]),
            _interval(found[f"{UNITS[test.unit].rate}_interval"]),
        ]
        for test in decision.tests
        for key, values in test.figures["candidate"]["groups"].items()
        for value, found in values.items()
    ]


def _invented(test: Test) -> list[str]:
    """Repetition loops and words where nobody speaks, as far as the gate measured them."""
    said, found = [], test.figures["candidate"]
    if loops := found.get("loops"):
        places = [
            f"{as_text.condition(name)} {one['loops']} of {one['utterances']}"
            for name, one in loops.items()
            if name != ALL
        ]
        said.append(
            f"{test.label}: repetition loops: {', '.join(places)}; {loops[ALL]['new']} where its teacher has none."
        )
    unit = UNITS[test.unit]
    for name, one in found.get("hallucinated", {}).items():
        key = f"{unit.name}_per_minute"
        if name == ALL:
            continue
        more = one.get(f"delta_{key}")
        teacher = "" if more is None else f", its teacher {one[key] - more:.1f}"
        said.append(f"{test.label}: {as_text.silent_part(name)}: {one[key]:.1f} {unit.name} a minute{teacher}.")
    return said


def _edits(test: Test, found: dict[str, Any]) -> str:
    return "/".join(str(found[UNITS[test.unit].prefix + kind]) for kind in EDITS)


def _counted(decision: Decision) -> str:
    """What the gate counts as an error, and so the unit of S/D/I."""
    characters = [test.label for test in decision.tests if test.unit == CHARACTERS.name]
    words = [test.label for test in decision.tests if test.unit != CHARACTERS.name]
    if not characters:
        return "S/D/I: words that were substituted, deleted, inserted; the gate judges by WER."
    where = f" on {', '.join(characters)}" if words else ""
    return (
        f"S/D/I: characters{where} that were substituted, deleted, inserted. The gate judges by CER{where}: "
        "words are not written apart there, or evaluate.measure asks for it, and the WER says little."
    )


def _interval(limits: dict[str, float]) -> str:
    return as_text.percent_interval((limits["low"], limits["high"]))
