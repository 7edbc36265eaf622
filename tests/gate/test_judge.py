"""The policy, on counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from diminuendo.config.shipping import GateConfig
from diminuendo.evaluation.scoring import Bootstrap
from diminuendo.gate.decision import NOT_JUDGED, PASS, REFUSE
from diminuendo.gate.judge import Evidence, Ratio, Resampling, judge
from diminuendo.gate.measure import ratio_of
from tests.factories.shipping import counts

RESAMPLING = Resampling(200, 0.9, 3)
POLICY = {
    "min_group_utterances": 4,
    "bytes": 1000,
    "teacher": {"wer": 0.05, "group_wer": 0.1, "deletions": 0.02, "insertions": 0.02},
    "champion": {"wer": 0.03, "group_wer": 0.1, "deletions": 0.02, "insertions": 0.02, "real_time_factor": 1.2},
}
SAME = counts([1] * 20)
GROUPS = {"accent": {"coast": np.arange(12), "hills": np.arange(12, 20)}, "age": {"old": np.arange(3)}}


def rules(
    candidate=SAME, teacher=SAME, champion=SAME, groups=GROUPS, size=900, ratio=1.0, teacher_limits=None, **policy
):
    policy |= {"teacher": teacher_limits} if teacher_limits else {}
    ratio = Ratio(ratio, (ratio - 0.1, ratio + 0.1)) if champion is not None else None
    tests = {"test": Evidence(candidate, teacher, champion, groups)}
    found = judge(GateConfig(**{**POLICY, **policy}), size, tests, ratio, RESAMPLING)
    return {(rule.reference, rule.name): rule for rule in found}


def refused(found):
    return {key for key, rule in found.items() if rule.verdict == REFUSE}


def test_a_model_as_good_as_both_passes_every_rule():
    found = rules()
    assert len(found) == 10 and all(rule.verdict == PASS for rule in found.values())
    assert found["teacher", "wer"].interval == (0.0, 0.0)  # paired: the same errors leave nothing uncertain


def test_each_limit_refuses_on_its_own():
    assert refused(rules(size=1001)) == {("file", "bytes")}
    assert refused(rules(size=1000)) == set()
    assert refused(rules(ratio=1.21)) == {("champion", "real_time_factor")}
    more = counts([2] * 20)
    assert refused(rules(champion=more, candidate=more)) == {("teacher", "wer")}  # ten points; the group's limit is ten
    assert refused(rules(teacher=more, candidate=more)) == {("champion", "wer")}
    for kind in ("deletions", "insertions"):
        worse = counts([1] * 10 + [0] * 10, kind=kind)  # five points of one kind, WER as before
        got = refused(rules(candidate=worse))
        assert got == {("teacher", kind), ("champion", kind)}


def test_the_upper_bound_decides_and_not_the_figure():
    candidate = counts([1] * 16 + [3] * 2 + [1] * 2)  # two points worse, in two utterances of twenty
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
    candidate = counts([4] * 3 + [1] * 9 + [3] * 8)  # the three oldest fare worst, but are three
    rule = rules(candidate=candidate)["teacher", "group_wer"]
    assert rule.about == "accent hills, 8 utterances" and rule.figure == pytest.approx(0.2)
    rule = rules(candidate=candidate, min_group_utterances=3)["teacher", "group_wer"]
    assert rule.about == "age old, 3 utterances" and rule.figure == pytest.approx(0.3) and rule.verdict == REFUSE


def test_a_subgroup_can_refuse_what_is_better_overall():
    before = counts([2] * 20)
    found = rules(candidate=counts([0] * 12 + [4] * 8), champion=before, teacher=before)
    assert found["champion", "wer"].figure == pytest.approx(-0.04)
    assert found["champion", "group_wer"].verdict == REFUSE


def test_without_groups_large_enough_nothing_is_judged_of_them():
    rule = rules(groups={"age": {"old": np.arange(3)}})["champion", "group_wer"]
    assert rule.verdict == NOT_JUDGED and rule.about == "no group has 4 utterances"


def test_without_a_champion_its_rules_are_listed_and_the_others_decide():
    found = rules(champion=None)
    own = [rule for (reference, _), rule in found.items() if reference == "champion"]
    assert len(own) == 5 and {rule.verdict for rule in own} == {NOT_JUDGED}
    assert {rule.about for rule in own} == {"no champion yet"} and refused(found) == set()
    assert refused(rules(champion=None, size=5000)) == {("file", "bytes")}


def test_a_limit_below_zero_asks_for_an_improvement():
    limits = {**POLICY["champion"], "wer": -0.01}
    policy = GateConfig(**{**POLICY, "champion": limits})
    for candidate, verdict in ((SAME, REFUSE), (counts([0] * 20), PASS)):
        tests = {"test": Evidence(candidate, SAME, SAME, {})}
        found = judge(policy, 1, tests, Ratio(1.0, (1.0, 1.0)), RESAMPLING)
        (rule,) = [rule for rule in found if (rule.reference, rule.name) == ("champion", "wer")]
        assert rule.verdict == verdict


def test_every_test_set_counts():
    good, bad = Evidence(SAME, SAME, SAME, {}), Evidence(counts([5] * 20), SAME, SAME, {})
    found = judge(GateConfig(**POLICY), 1, {"old": good, "new": bad}, Ratio(1.0, (1.0, 1.0)), RESAMPLING)
    broken = {(rule.test, rule.name) for rule in found if rule.verdict == REFUSE}
    assert broken == {("new", "wer")}
    assert sum(rule.name == "wer" for rule in found) == 4


def test_what_is_the_limit_on_paper_passes():
    found = rules(candidate=counts([8] * 20), teacher=counts([7] * 20), champion=None, groups={})
    assert found["teacher", "wer"].figure > 0.1  # 0.8 − 0.7 in binary
    limits = {**POLICY["teacher"], "wer": 0.1}
    found = rules(candidate=counts([8] * 20), teacher=counts([7] * 20), champion=None, groups={}, teacher_limits=limits)
    assert found["teacher", "wer"].verdict == PASS


def test_a_ratio_is_over_the_other_and_its_limits_change_places():
    ratio = ratio_of({"times_faster": 4.0, "times_faster_interval": {"low": 2.0, "high": 5.0}})
    assert (ratio.figure, ratio.interval) == (0.25, (0.2, 0.5))
