"""The policy, on counts made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diminuendo.config.shipping import GateConfig
from diminuendo.evaluation.scoring import Bootstrap
from diminuendo.gate.decision import NOT_JUDGED, PASS, REFUSE
from diminuendo.gate.judge import Ratio, judge
from diminuendo.gate.measure import ratio_of
from tests.factories.judging import GROUPS, POLICY, RESAMPLING, SAME, evidence, judged, refused
from tests.factories.shipping import counts


def rules(
    candidate=SAME, teacher=SAME, champion=SAME, groups=GROUPS, teacher_limits=None, champion_limits=None, **policy
):
    limits = {"teacher": teacher_limits, "champion": champion_limits}
    policy |= {key: value for key, value in limits.items() if value}
    return judged(evidence(candidate, teacher, champion, groups), **policy)


def test_a_model_as_good_as_both_passes_every_rule():
    found = rules()
    assert len(found) == 15 and all(rule.verdict == PASS for rule in found.values())
    assert found["teacher", "wer"].interval == (0.0, 0.0)  # paired: the same errors leave nothing uncertain


def test_each_limit_refuses_on_its_own():
    assert refused(rules(size=1001)) == {("file", "bytes")}
    assert refused(rules(size=1000)) == set()
    assert refused(rules(ratio=1.21)) == {("champion", "real_time_factor")}
    more = counts([0, 3] * 10)  # five points; the group's limit is ten
    wider = {**POLICY["champion"], "wer": 0.1}
    assert refused(rules(champion=more, candidate=more)) == {("teacher", "wer")}
    assert refused(rules(teacher=more, candidate=more)) == {("champion", "wer")}
    assert refused(rules(candidate=more, teacher=more, champion_limits=wider)) == set()
    for kind in ("deletions", "insertions"):
        worse = counts([1] * 10 + [0] * 10, kind=kind)  # five points of one kind, WER below what it was
        got = refused(rules(candidate=worse))
        assert got == {("teacher", kind), ("champion", kind)}


def test_the_upper_bound_decides_and_not_the_figure():
    candidate = counts([0, 2] * 8 + [2, 4, 0, 2])  # two points worse, in two utterances of twenty
    rule = rules(candidate=candidate)["champion", "wer"]
    assert rule.figure == pytest.approx(0.02) and rule.figure < rule.limit < rule.judged == rule.interval[1]
    assert rule.verdict == REFUSE


def test_the_interval_is_the_paired_bootstrap_of_the_evaluation():
    candidate = counts([0, 2, 1, 3] * 5)
    bootstrap = Bootstrap(20, 200, 0.9, 3)
    by_hand = bootstrap.interval(
        bootstrap.rates(candidate["substitutions"], candidate["words"])
        - bootstrap.rates(SAME["substitutions"], SAME["words"])
    )
    assert rules(candidate=candidate)["teacher", "wer"].interval == (by_hand.low, by_hand.high)


def test_the_worst_group_is_named_and_small_ones_are_left_out():
    # The three oldest fare worst, but are three.
    candidate = counts([3, 6, 4, *[0, 2, 0] * 3, *[2, 5] * 4])
    rule = rules(candidate=candidate)["teacher", "group_wer"]
    assert rule.about == "accent hills, 8 utterances" and rule.figure == pytest.approx(0.25)
    rule = rules(candidate=candidate, min_group_utterances=3)["teacher", "group_wer"]
    assert rule.about == "age old, 3 utterances" and rule.figure == pytest.approx(1.1 / 3) and rule.verdict == REFUSE


def test_a_group_that_grew_by_the_same_everywhere_is_the_worst_whatever_its_limit():
    candidate = counts([0, 2] * 4 + [4, 6, 0, 2] + [1, 3] * 4)  # the coast may have grown by more, or not at all
    loose = {**POLICY["teacher"], "wer": 0.5, "group_wer": 0.5}
    rule = rules(candidate=candidate, teacher=SAME, champion=False, teacher_limits=loose)["teacher", "group_wer"]
    assert rule.verdict == REFUSE and rule.figure == pytest.approx(0.1)
    assert rule.about == "accent hills, 8 utterances: the same in every resample: its interval says nothing"
    better = rules(candidate=SAME, teacher=candidate, champion=False)["teacher", "group_wer"]
    assert better.verdict == PASS  # an improvement is nobody's risk


def test_a_subgroup_can_refuse_what_is_better_overall():
    before = counts([1, 3] * 10)
    found = rules(candidate=counts([0] * 12 + [5, 3] * 4), champion=before, teacher=before)
    assert found["champion", "wer"].figure == pytest.approx(-0.04)
    assert found["champion", "group_wer"].verdict == REFUSE


def test_without_groups_large_enough_nothing_is_judged_of_them():
    rule = rules(groups={"age": {"old": np.arange(3)}})["champion", "group_wer"]
    assert rule.verdict == NOT_JUDGED and rule.about == "no group has 4 utterances"


def test_without_a_champion_its_rules_are_listed_and_the_others_decide():
    found = rules(champion=False)
    own = [rule for (reference, _), rule in found.items() if reference == "champion"]
    assert len(own) == 5 and {rule.verdict for rule in own} == {NOT_JUDGED}
    assert {rule.about for rule in own} == {"no champion yet"} and refused(found) == set()
    assert refused(rules(champion=False, size=5000)) == {("file", "bytes")}


def test_a_limit_below_zero_asks_for_an_improvement():
    limits = {**POLICY["champion"], "wer": -0.01}
    for candidate, verdict in ((SAME, REFUSE), (counts([0] * 20), PASS)):
        assert rules(candidate, champion_limits=limits)["champion", "wer"].verdict == verdict


def test_every_test_set_counts():
    tests = {"old": evidence(SAME, SAME, SAME), "new": evidence(counts([4, 5] * 10), SAME, SAME)}
    found = judge(GateConfig(**POLICY), 1, tests, Ratio(1.0, (1.0, 1.0)), RESAMPLING)
    broken = {(rule.test, rule.name) for rule in found if rule.verdict == REFUSE}
    assert broken == {("new", "wer")}
    assert sum(rule.name == "wer" for rule in found) == 6


def test_what_is_the_limit_on_paper_passes():
    limits = {**POLICY["teacher"], "insertions": 0.1}
    ours, theirs = (counts([count] * 20, kind="insertions") for count in (8, 7))
    rule = rules(ours, theirs, False, {}, teacher_limits=limits)["teacher", "insertions"]
    assert rule.figure > 0.1 and rule.verdict == PASS  # 0.8 − 0.7 in binary


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value):
    found = judged(evidence(), ratio=value)
    rule = found["champion", "real_time_factor"]
    assert refused(found) == {("champion", "real_time_factor")} and "not a figure" in rule.about
    assert rule.figure is None and rule.judged is None  # JSON has no word for it


def test_a_ratio_is_over_the_other_and_its_limits_change_places():
    ratio = ratio_of({"times_faster": 4.0, "times_faster_interval": {"low": 2.0, "high": 5.0}})
    assert (ratio.figure, ratio.interval) == (0.25, (0.2, 0.5))
    standing = ratio_of({"times_faster": 0.0, "times_faster_interval": {"low": 0.0, "high": 0.0}})
    assert standing.figure == math.inf
