"""Why the same bytes are not promised here: a model was made on another kind of processor, or by another Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.provenance.descent import Model
from diminuendo.provenance.store import Run
from diminuendo.tracking.origin import versions

CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")  # as PyTorch names them, each with all before it
ONEDNN = {"DEFAULT": "SSE41", "AVX2": "AVX2"}  # the same for its library of products


def reasons_against(model: Model) -> tuple[str, ...]:
    """Why this machine may give other bytes, for each model of the ancestry where its record says so."""
    recorded = {m.name: m.record["parameters"].get("device") for m in model.chain() if m.record}
    recorded = {name: device for name, device in recorded.items() if device}
    if not recorded:  # trained nowhere, or before the device was part of the record
        return ()
    from diminuendo.training.device import device_record, not_promised

    here = {device["precision"]: device_record("cpu", device["precision"]) for device in recorded.values()}
    found = {name: not_promised(device, here[device["precision"]]) for name, device in recorded.items()}
    remedies = {name: _remedy(device, here[device["precision"]]) for name, device in recorded.items()}
    return tuple(f"{name} was {reason}{remedies[name]}" for name, reason in found.items() if reason)


def _remedy(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What to do about another vector capability: PyTorch can be held to less than a processor has, and to no more."""
    then, now = recorded.get("capability"), here.get("capability")
    if recorded.get("type") != "cpu" or then == now or not {then, now} <= set(CAPABILITIES):
        return ""
    if CAPABILITIES.index(then) > CAPABILITIES.index(now):
        return f"; run this on a processor that has {then}"
    least = then.lower()
    return f"; to compute as then, set ATEN_CPU_CAPABILITY={least} and ONEDNN_MAX_CPU_ISA={ONEDNN[then]}"


def reasons_of_text(model: Model, runs: Mapping[str, Run]) -> tuple[str, ...]:
    """Why this Python may prepare another corpus: the tables of Unicode, by which text is normalised, are its own."""
    made = {c.digest: dict(run.made_with) for c in model.corpora() if (run := runs.get(c.digest)) is not None}
    here = versions()["unicode"]
    return tuple(
        f"the corpus {digest[:12]} was prepared with Unicode {own['unicode']} (Python {own.get('python', 'unknown')}), "
        f"and this Python has {here}: characters that are new or have changed since are normalised differently; "
        "run this with that Python"
        for digest, own in made.items()
        if own.get("unicode", here) != here
    )
