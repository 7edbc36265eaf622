"""The gate's limits of what an error rate on clean speech hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diminuendo.core.errors import UserError
from diminuendo.gate.decision import PASS, REFUSE
from diminuendo.gate.hidden import Trials
from diminuendo.gate.wording import figure, limit, mark, sentence
from tests.factories.judging import SAME, evidence, judged, refused
from tests.factories.shipping import counts, params

TRIALS = Trials(
    np.arange(20),
    {"snr_10": counts([2, 4] * 10)},
    {"noise": (counts([1, 0] * 10, words=0, kind="insertions"), np.full(20, 30.0))},
)


def test_limits_in_noise_and_without_speech():
    found = replace(evidence(), trials=TRIALS)
    loose = {"noise_wer": {10: 0.5}, "hallucinated_words_per_minute": 2, "no_worse_share": 0.9}
    assert refused(judged(found, **loose)) == set()
    strict = judged(found, noise_wer={10: 0.3}, hallucinated_words_per_minute=0.5)
    assert refused(strict) == {("file", "wer_snr_10"), ("file", "hallucinated_words_per_minute")}
    assert sentence(strict["file", "wer_snr_10"]).startswith("WER at 10 dB (test): 30.00 %, by its interval up to ")
    heard = sentence(strict["file", "hallucinated_words_per_minute"])
    assert "1.0, by its interval up to" in heard and heard.endswith("limit 0.5; 10 in 10.0 minutes without speech")


def test_the_share_no_worse_is_judged_by_its_lower_end():
    worse = counts([0, 2] * 9 + [1, 2])  # one utterance of twenty
    key = ("teacher", "no_worse_share")
    rule = judged(evidence(worse, SAME), no_worse_share=0.95)[key]
    assert rule.figure == 0.95 and rule.judged < 0.95 and rule.verdict == REFUSE
    assert "down to" in sentence(rule) and limit(rule) == "≥ 95.00"
    assert judged(evidence(worse, SAME), no_worse_share=0.8)[key].verdict == PASS
    assert judged(evidence(), no_worse_share=1.0)[key].verdict == PASS


def looping(counted: dict, at: tuple[int, ...] = ()) -> dict:
    """Counts with the column of loops: 1 at these utterances."""
    loops = np.zeros(len(counted["words"]), np.int64)
    loops[list(at)] = 1
    return {**counted, "loops": loops}


def test_loops_that_the_teacher_has_not_are_judged_by_their_number():
    key = ("teacher", "new_loops")
    tried = {"snr_10": (looping(SAME, (0, 4)), looping(SAME, (4, 5))), "silence": (looping(SAME), looping(SAME, (3,)))}
    found = replace(evidence(looping(SAME, (1,)), looping(SAME, (1, 2))), trials=replace(TRIALS, loops=tried))
    assert key not in judged(found)
    rule = judged(found, new_loops=0)[key]
    assert (rule.verdict, rule.figure, mark(rule)) == (REFUSE, 1.0, "TOO MANY")
    assert sentence(rule) == "new repetition loops against the teacher (test): 1; limit 0; at 10 dB 1 of 20"
    assert (figure(rule, rule.figure), limit(rule)) == ("1", "0")
    assert judged(found, new_loops=1)[key].verdict == PASS
    none = replace(found, trials=replace(TRIALS, loops={"snr_10": tried["snr_10"][::-1], "silence": tried["silence"]}))
    assert judged(none, new_loops=1)[key].figure == 1.0  # the teacher's own count against it
    same = replace(found, trials=replace(TRIALS, loops={"silence": tried["silence"]}))
    passed = judged(same, new_loops=0)[key]
    assert (passed.verdict, passed.about) == (PASS, "40 texts")


def test_loops_of_test_alone_are_judged_where_there_is_no_noise_and_it_is_said():
    found = judged(evidence(looping(SAME, (1,)), looping(SAME)), new_loops=0)["teacher", "new_loops"]
    assert found.verdict == REFUSE and found.about.startswith("test 1 of 20; test as it is alone, since evaluate.noise")


def test_loops_that_were_not_counted_are_a_refusal_that_says_so():
    found = judged(evidence(SAME, looping(SAME)), new_loops=100)["teacher", "new_loops"]
    assert found.verdict == REFUSE and "there is no figure" in sentence(found) and mark(found) == "SAYS NOTHING"


@pytest.mark.parametrize("value", [-1, 0.5, True, "none"])
def test_a_number_of_loops_is_a_count(value):
    with pytest.raises(UserError, match=r"gate\.new_loops"):
        params(new_loops=value)


def test_invented_words_are_told_beside_the_teachers():
    theirs = {"noise": (counts([1, 0, 0, 0] * 5, words=0, kind="insertions"), np.full(20, 30.0))}
    found = replace(evidence(), trials=replace(TRIALS, teachers_silent=theirs))
    rule = judged(found, hallucinated_words_per_minute=5)["file", "hallucinated_words_per_minute"]
    assert rule.about == "10 in 10.0 minutes without speech; 0.5 a minute by the teacher"


def test_nothing_to_judge_on_is_a_refusal():
    found = judged(evidence(), noise_wer={10: 0.9}, hallucinated_words_per_minute=100)
    assert refused(found) == {("file", "wer_snr_10"), ("file", "hallucinated_words_per_minute")}
    assert "set evaluate.noise" in found["file", "hallucinated_words_per_minute"].about


def test_a_limit_at_a_ratio_that_is_not_measured_is_told():
    with pytest.raises(UserError, match=r"gate.noise_wer: 5 dB is not measured; evaluate.noise.snr_db has: 20, 10, 0"):
        params(noise_wer={5: 0.2})
