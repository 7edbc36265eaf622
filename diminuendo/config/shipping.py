"""Settings of what happens to a finished family: the gate, the registry, retraining and drift."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from diminuendo.config.base import Fraction, Positive, PositiveInt, Section
from diminuendo.config.names import LONGEST_NAME

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NotNegative = Annotated[float, Field(ge=0)]
NotNegativeInt = Annotated[int, Field(ge=0)]
_HIDDEN = ("hallucinated_words_per_minute", "new_loops", "no_worse_share")
_NUMBERS = ("wer", "cer", "min_utterances", "min_words", "min_characters", "min_speakers", *_HIDDEN)
REQUIRED = "required"
Growth = Annotated[float, Field(ge=-1, le=1)]  # of a rate; below zero asks for an improvement


class ShipConfig(Section):
    """Which member of the family is shipped, and under which name."""

    model: str  # its name in the MLflow Model Registry
    member: str
    signed: Literal["required"] | None = (
        None  # nothing is shipped that `key` does not vouch for; null: unsigned files too
    )
    key: str | None = None  # path of the public key, relative to the repository's root

    @model_validator(mode="after")
    def _a_key_to_check_with(self):
        if self.signed == REQUIRED and not self.key:
            raise ValueError(
                "signed: required needs `key`, the path of the public key; `diminuendo keygen` makes a pair"
            )
        return self

    @field_validator("model")
    @classmethod
    def _a_name_for_addresses(cls, name: str) -> str:
        # It becomes part of addresses such as models:/commands@champion.
        if not _MODEL_NAME.fullmatch(name):
            raise ValueError(f"use letters, digits, '.', '_' and '-', found {name!r}")
        if len(name) > LONGEST_NAME:
            raise ValueError(f"{len(name)} characters, at most {LONGEST_NAME}; shorten it")
        return name


class AccuracyLimits(Section):
    """The most by which a candidate may be worse, each a share of the reference words (0.01 is one point).

    Where ``evaluate.measure`` is, or comes to, ``cer``, all four are of characters: ``wer`` then limits ΔCER.
    """

    wer: Growth  # upper end of the paired bootstrap interval of ΔWER
    group_wer: Growth  # the same, of the group that fares worst
    deletions: Growth  # growth of the rate
    insertions: Growth


class ChampionLimits(AccuracyLimits):
    real_time_factor: Positive  # the candidate's over the champion's, timed in one run


class GateConfig(Section):
    """What a member must fulfil before it is shipped.

    The defaults are there for files older than the keys: without them such a file would let any model pass.
    """

    wer: float = 0.3  # upper end of the interval of WER; not judged where characters are counted
    cer: float = 0.3  # upper end of the interval of CER
    min_utterances: PositiveInt = 100  # of each test set, as are the next three
    min_words: PositiveInt = 300  # of the references
    min_characters: PositiveInt = 500  # of the references; asked for in place of words where characters are counted
    min_speakers: NotNegativeInt = 2  # who are named; 0: nobody asks how many there are
    noise_wer: dict[float, float] | None = None  # signal-to-noise ratio in dB to the upper end of WER (or CER) there
    hallucinated_words_per_minute: NotNegative | None = None  # where nobody speaks: the upper end of its interval
    new_loops: NotNegativeInt | None = None  # texts with a repetition loop where the teacher's has none
    no_worse_share: Fraction | None = None  # of utterances no worse than the teacher's: the lower end of its interval
    min_group_utterances: PositiveInt  # groups (see evaluate.group_by) with fewer test utterances are not judged
    bytes: PositiveInt  # of the file
    teacher: AccuracyLimits  # against the teacher it was made from: what compression may cost
    champion: ChampionLimits  # against the model that is shipped now, on its test set and on the new one

    @field_validator(*_NUMBERS, mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which pydantic takes for 0 or 1
            raise ValueError(f"expected a number, found {str(value).lower()}")
        return value

    @field_validator("wer", "cer")
    @classmethod
    def _a_share_that_says_something(cls, limit: float, info: ValidationInfo) -> float:
        if not 0 <= limit < 1:
            unit = "words" if info.field_name == "wer" else "characters"
            raise ValueError(
                f"a share of the reference {unit} from 0 to below 1, such as 0.15 for 15 %, found {limit:g}; "
                "at 1 a model passes that recognises nothing"
            )
        return limit

    @field_validator("noise_wer", mode="before")
    @classmethod
    def _shares_in_noise(cls, limits: Any) -> Any:
        for snr_db, limit in limits.items() if isinstance(limits, dict) else ():
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < 1:
                raise ValueError(f"{snr_db}: a share from 0 to below 1, such as 0.3 for 30 %, found {limit!r}")
        return limits


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
