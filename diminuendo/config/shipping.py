"""Settings of what happens to a finished family: the gate, the registry, retraining and drift."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from diminuendo.config.base import Fraction, Positive, PositiveInt, Section

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Growth = Annotated[float, Field(ge=-1, le=1)]  # of a rate; below zero asks for an improvement


class ShipConfig(Section):
    """Which member of the family is shipped, and under which name."""

    model: str  # its name in the MLflow Model Registry
    member: str

    @field_validator("model")
    @classmethod
    def _a_name_for_addresses(cls, name: str) -> str:
        # It becomes part of addresses such as models:/commands@champion.
        if not _MODEL_NAME.fullmatch(name):
            raise ValueError(f"use letters, digits, '.', '_' and '-', found {name!r}")
        return name


class AccuracyLimits(Section):
    """The most by which a candidate may be worse, each a share of the reference words (0.01 is one point)."""

    wer: Growth  # upper bound of the paired bootstrap interval of ΔWER
    group_wer: Growth  # the same bound, of the group that fares worst
    deletions: Growth  # growth of the rate
    insertions: Growth


class ChampionLimits(AccuracyLimits):
    real_time_factor: Positive  # the candidate's over the champion's, timed in one run


class GateConfig(Section):
    """What a member must fulfil before it is shipped."""

    min_group_utterances: PositiveInt  # groups (see evaluate.group_by) with fewer test utterances are not judged
    bytes: PositiveInt  # of the file
    teacher: AccuracyLimits  # against the teacher it was made from: what compression may cost
    champion: ChampionLimits  # against the model that is shipped now, on its test set and on the new one


class RetrainConfig(Section):
    """Scheduled retraining: where new data arrives, and what becomes of it."""

    incoming: str  # folder of batches, each a folder with manifest.jsonl and its audio
    quarantine: str  # bad records and their reasons; batches that the gate refused
    workspace: str  # git worktree in which retraining runs; {repository} is the name of this one
    quarantine_limit: Fraction  # share of bad records above which nothing of a batch is used
    dev_fraction: Fraction  # of new speakers, whose recordings go to dev
    test_fraction: Fraction  # of new speakers, whose recordings go to test
    notify: tuple[str, ...] = ()  # Prefect notification blocks, such as slack-webhook/speech-team


class DriftConfig(Section):
    """When new data counts as different from what the champion was trained on."""

    stability_index: Positive  # population stability index of a feature; 0.1 is a small change, 0.25 a large one
    out_of_vocabulary: Fraction  # share of words that training never had
