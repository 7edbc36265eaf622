"""The decision of the gate: one line per rule, and the figures behind it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from diminuendo.core.files import digest_of_json
from diminuendo.metrics.normalizers import NO_NORMALIZER

PASS, REFUSE, NOT_JUDGED = "pass", "refuse", "not judged"
FILE, EVIDENCE, TEACHER, CHAMPION = "file", "evidence", "teacher", "champion"
MINIMUMS = ("utterances", "words", "characters", "speakers")  # counts that may not be below their limits
NO_WORSE = "no_worse_share"
NEW_LOOPS = "new_loops"
LOWER = (*MINIMUMS, NO_WORSE)  # rules with a lower limit; all others have an upper one
PASSED, REFUSED = "passed", "refused"
# A difference of two rates that equals the limit on paper may be above it by a rounding error.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit and the figure that was found.

    Attributes:
        reference: what the candidate is compared with: ``file`` (with nothing), ``teacher`` or ``champion``;
            ``evidence`` where the rule is about the test set and not about the candidate.
        test: label of the test set; None where the rule is not about recognition.
        name: of words ``wer``, ``group_wer``, ``deletions``, ``insertions``; of characters ``cer``, ``group_cer``,
            ``character_deletions``, ``character_insertions``; ``bytes``, ``real_time_factor``; one of ``MINIMUMS``;
            in noise ``wer_snr_10`` and so on; ``hallucinated_words_per_minute`` (or ``characters``);
            ``no_worse_share``; ``new_loops``.
        figure: what was measured; None where it is not a figure. Rates are shares of the reference words or
            characters, and against another model they are differences, candidate minus that one; the real-time
            factor is a ratio, candidate over champion.
        interval: its bootstrap interval; None where there is none.
        judged: the number that the limit holds for: ``figure``, or the worse end of ``interval``.
        verdict: ``pass``, ``refuse`` or ``not judged``.
        about: which group is the worst and how large it is, why nothing was judged, why a figure within its limit is
            refused all the same, or what to do about it.
    """

    reference: str
    test: str | None
    name: str
    limit: float
    verdict: str
    figure: float | None = None
    interval: tuple[float, float] | None = None
    judged: float | None = None
    about: str = ""

    @property
    def within(self) -> bool:
        """Whether the limit is kept; a figure that says nothing may be refused even then."""
        if self.judged is None:
            return False
        if self.name in LOWER:
            return self.judged >= self.limit - ROUNDING
        return self.judged <= self.limit + ROUNDING


@dataclass(frozen=True, slots=True)
class Party:
    """A model that took part. ``version``: its number, if it comes from the registry."""

    name: str
    digest: str
    bytes: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """A test set, and what every party reached on it (``figures``: ``candidate``, ``teacher``, ``champion``).

    Where there is a normaliser, the figures are of normalised texts, and ``raw_wer`` and ``raw_cer`` of raw ones.
    """

    __test__ = False  # pytest takes it for a test

    label: str
    corpus: str  # digest
    utterances: int
    seconds: float
    words: int
    speakers: int  # that are named
    shortest: float  # seconds
    longest: float
    figures: dict[str, dict[str, Any]]
    unit: str = "words"  # what errors are counted in: words, or characters
    resampled: str = "utterances"  # what intervals are over: utterances, or speakers


@dataclass(frozen=True)
class Decision:
    """The decision of the gate.

    Attributes:
        normalizer: name, package and version of the normaliser that errors were counted after; ``{"name": "none"}``.
        run: the MLflow run that records it, None if it is not in MLflow (yet).
    """

    candidate: Party
    teacher: Party
    champion: Party | None
    tests: tuple[Test, ...]
    rules: tuple[Rule, ...]
    policy: dict[str, Any]
    confidence: float
    speed: dict[str, Any]
    notes: tuple[str, ...] = ()
    normalizer: dict[str, str] = field(default_factory=lambda: dict(NO_NORMALIZER))
    run: str | None = field(default=None, compare=False)

    @property
    def passed(self) -> bool:
        return not self.refusals

    @property
    def refusals(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.verdict == REFUSE)

    @property
    def word(self) -> str:
        """``passed`` or ``refused``."""
        return PASSED if self.passed else REFUSED

    @property
    def digest(self) -> str:
        """SHA-256 of everything except the run; it includes times, so two decisions differ."""
        return digest_of_json(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the same models, tests and policy give the same, apart from ``speed`` and its rules."""
        plain = {key: value for key, value in asdict(self).items() if key != "run"}
        plain["rules"] = [{**rule, "interval": _pair(rule["interval"])} for rule in plain["rules"]]
        return {"decision": self.word, **plain, "tests": list(plain["tests"]), "notes": list(self.notes)}


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
