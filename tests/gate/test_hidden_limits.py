"""The gate's limits of what an error rate on clean speech hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diminuendo.core.errors import UserError
from diminuendo.gate.decision import PASS, REFUSE
from diminuendo.gate.hidden import Trials
from diminuendo.gate.wording import limit, sentence
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


def test_nothing_to_judge_on_is_a_refusal():
    found = judged(evidence(), noise_wer={10: 0.9}, hallucinated_words_per_minute=100)
    assert refused(found) == {("file", "wer_snr_10"), ("file", "hallucinated_words_per_minute")}
    assert "set evaluate.noise" in found["file", "hallucinated_words_per_minute"].about


def test_a_limit_at_a_ratio_that_is_not_measured_is_told():
    with pytest.raises(UserError, match=r"gate.noise_wer: 5 dB is not measured; evaluate.noise.snr_db has: 20, 10, 0"):
        params(noise_wer={5: 0.2})
