"""One limit, one figure, one ``Rule``."""

from __future__ import annotations

import math
from dataclasses import replace

from diminuendo.gate.decision import PASS, REFUSE, Rule

Interval = tuple[float, float]


def at_most(
    reference: str,
    test: str | None,
    name: str,
    limit: float,
    figure: float,
    interval: Interval | None = None,
    *,
    judge_interval: bool = False,
    about: str = "",
    nothing: str = "",
) -> Rule:
    """A rule for a figure that may not be above its limit.

    Args:
        judge_interval: the limit holds for the upper end of the interval, which is not below the figure.
        nothing: why the figure, or its interval, says nothing; the rule is then broken, whatever the limit.
    """
    if not all(map(math.isfinite, (figure, *(interval or ())))):
        return Rule(reference, test, name, float(limit), REFUSE, about=f"measured as {figure}: not a figure to judge")
    judged = max(figure, interval[1]) if judge_interval and interval else figure
    rule = Rule(reference, test, name, float(limit), REFUSE, figure, interval, judged, nothing or about)
    return replace(rule, verdict=PASS if rule.within and not nothing else REFUSE)


def no_less(
    reference: str, test: str, name: str, limit: float, figure: float, interval: Interval, nothing: str = ""
) -> Rule:
    """A rule for a share whose interval's lower end may not be below its limit; ``nothing`` as of ``at_most``."""
    rule = Rule(reference, test, name, float(limit), REFUSE, figure, interval, min(figure, interval[0]), nothing)
    return replace(rule, verdict=PASS if rule.within and not nothing else REFUSE)


def at_least(reference: str, test: str, name: str, limit: int, found: int, remedy: str) -> Rule:
    """A rule for a count that may not be below its limit; ``remedy`` is given where it is."""
    rule = Rule(reference, test, name, float(limit), REFUSE, float(found), judged=float(found), about=remedy)
    return replace(rule, verdict=PASS, about="") if rule.within else rule
