"""What is judged of a candidate by itself: the evidence, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.evaluation.scores import COUNTS
from diminuendo.evaluation.scoring import Bootstrap, count_errors
from diminuendo.gate.decision import NOT_JUDGED, PASS, REFUSE
from diminuendo.gate.wording import mark, sentence
from diminuendo.metrics.unit import CHARACTERS, unit_of
from tests.factories.judging import RESAMPLING, SAME, SPEAKERS, evidence, judged, refused
from tests.factories.shipping import counts

# Of utterances of 1 to 6 words: wrong ones may be more than there are, since words are also put in.
utterances = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=30)
ANY = {"min_utterances": 1, "min_words": 1, "min_speakers": 0}


def spoken(pairs, kind="substitutions"):
    errors, words = (np.array(column, dtype=np.int64) for column in zip(*pairs))
    return {**counts(list(errors), kind=kind), "words": words, "characters": 5 * words}


# What was promoted once


@pytest.mark.parametrize("policy", [{}, {"wer": 0.999, "cer": 0.999, **ANY}], ids=["a policy", "the laxest there is"])
def test_a_hundred_percent_on_four_utterances_of_one_speaker_is_refused(policy):
    nothing = {**counts([4] * 4, words=4, kind="deletions"), "character_deletions": np.array([20] * 4)}
    found = judged(evidence(nothing, speakers=["one"] * 4), **policy)
    assert {("file", "wer"), ("file", "cer")} <= refused(found)
    assert found["file", "wer"].about == "nothing was recognised in any utterance"
    assert found["teacher", "wer"].verdict == PASS  # the teacher is no better: this alone promoted it


def test_more_errors_than_words_are_refused_however_much_evidence_there_is():
    found = judged(evidence(counts([11, 10, 9, 11] * 100), speakers=SPEAKERS * 20), wer=0.999)
    assert refused(found) == {("file", "wer")} and found["file", "wer"].figure == pytest.approx(1.025)


# The evidence


def test_each_least_of_evidence_refuses_on_its_own_and_says_what_to_do():
    few = {name: judged(evidence(), **{f"min_{name}": least}) for name, least in MORE.items()}
    for name, found in few.items():
        assert refused(found) == {("evidence", name)}
        rule = found["evidence", name]
        assert mark(rule) == "TOO FEW"
        assert sentence(rule).startswith(
            f"too few test {name} (test): {rule.figure:g}; at least {MORE[name]}; add test"
        )
        assert f"lower gate.min_{name} knowingly" in sentence(rule)
    assert refused(judged(evidence(), **{f"min_{name}": least - 1 for name, least in MORE.items()})) == set()


MORE = {"utterances": 21, "words": 201, "speakers": 4}


def test_utterances_in_which_nothing_is_said_are_no_evidence():
    counted = spoken([*[(0, 4), (1, 4)] * 5, *[(0, 0)] * 90])
    assert judged(evidence(counted))["evidence", "utterances"].figure == 10


def test_speakers_that_nobody_names():
    nameless = judged(evidence(speakers=[None] * 20))["evidence", "speakers"]
    assert nameless.verdict == REFUSE and "names its speaker" in nameless.about and "min_speakers: 0" in nameless.about
    some = judged(evidence(speakers=["one"] + [None] * 19))["evidence", "speakers"]
    assert some.verdict == REFUSE and some.figure == 1 and "19 utterances name no speaker" in some.about
    not_asked = judged(evidence(speakers=[None] * 20), min_speakers=0)
    assert refused(not_asked) == set() and not_asked["evidence", "speakers"].verdict == NOT_JUDGED


# How often it errs


def test_the_limit_holds_for_the_upper_end_of_the_interval():
    found = judged(evidence())
    upper = found["file", "wer"].interval[1]
    assert found["file", "wer"].figure == pytest.approx(0.1) and 0.1 < upper < 0.5
    for limit, verdict in ((upper, PASS), (upper - 1e-6, REFUSE)):
        rule = judged(evidence(), wer=limit)["file", "wer"]
        assert rule.verdict == verdict and rule.judged == upper
    rule = judged(evidence(), wer=0.1)["file", "wer"]
    assert sentence(rule) == f"WER (test): 10.00 %, by its interval up to {100 * upper:.2f} %; limit 10.00 %"


def test_characters_have_a_limit_of_their_own():
    wrong = {**SAME, "character_substitutions": np.array([20, 40] * 10)}
    assert refused(judged(evidence(wrong))) == {("file", "cer")}


def test_an_interval_that_says_nothing_is_refused_and_no_error_at_all_is_not():
    same = judged(evidence(counts([1] * 20)))["file", "wer"]
    assert same.verdict == REFUSE and same.interval == (0.1, 0.1) and mark(same) == "SAYS NOTHING"
    assert sentence(same).endswith("limit 50.00 %; the same in every resample: its interval says nothing")
    assert refused(judged(evidence(counts([0] * 20)))) == set()
    assert refused(judged(evidence(counts([0] * 20), counts([1] * 20)))) == set()
    alone = judged(evidence(counts([0], words=500)), **ANY)
    assert refused(alone) == {("file", "wer"), ("file", "cer")} and "one utterance" in alone["file", "wer"].about


def test_references_without_words_are_refused():
    found = judged(evidence(counts([0] * 20, words=0)), **ANY)
    assert refused(found) == {
        ("evidence", "utterances"), ("evidence", "words"), ("file", "wer"), ("file", "cer")
    }  # fmt: skip
    assert found["file", "wer"].about == "the references have no words"


@settings(max_examples=150, deadline=None)
@given(utterances, st.floats(0, 0.99))
def test_what_passes_is_below_the_limit_by_its_upper_end(pairs, limit):
    counted = spoken(pairs)
    bootstrap = Bootstrap(len(pairs), RESAMPLING.samples, RESAMPLING.confidence, RESAMPLING.seed)
    upper = bootstrap.interval(bootstrap.rates(counted["substitutions"], counted["words"])).high
    if not refused(judged(evidence(counted), wer=limit, **ANY)):
        assert upper <= limit + 1e-9 and counted["substitutions"].sum() < counted["words"].sum() and len(pairs) > 1


@settings(max_examples=100, deadline=None)
@given(utterances, st.integers(0, 29), st.floats(0, 0.99))
def test_one_error_more_never_helps(pairs, where, limit):
    """But for a spread: errors at one rate everywhere are refused, whatever the rate."""
    errors, words = pairs[where % len(pairs)]
    more = [*pairs]
    more[where % len(pairs)] = errors + 1, words
    before, after = (judged(evidence(spoken(found)), wer=limit, **ANY)["file", "wer"] for found in (pairs, more))
    if after.verdict == PASS:
        assert before.within


@settings(max_examples=100, deadline=None)
@given(utterances, utterances)
def test_more_recordings_never_make_too_little_evidence_of_enough(pairs, more):
    def few(found, speakers):
        rules = judged(evidence(spoken(found), speakers=speakers), min_utterances=5, min_words=20, min_speakers=3)
        return {name for reference, name in refused(rules) if reference == "evidence"}

    speakers, others = [str(errors) for errors, _ in pairs], [None] * len(more)
    assert few([*pairs, *more], [*speakers, *others]) <= few(pairs, speakers)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 8), min_size=1, max_size=30), st.sampled_from(["", "character_"]))
def test_a_model_that_errs_at_one_rate_everywhere_never_passes(share, lengths, prefix):
    rates = {**counts([0] * len(lengths)), "words": 6 * np.array(lengths), "characters": 6 * np.array(lengths)}
    rates[f"{prefix}substitutions"] = share * np.array(lengths)
    assert refused(judged(evidence(rates), wer=0.999, cer=0.999, **ANY))


# In characters


def test_in_characters_every_rule_counts_them_and_wer_is_not_judged():
    wrong = {**counts([1] * 20, words=1), "characters": np.array([10] * 20)}  # every sentence is one wrong word
    wrong["character_deletions"] = np.array([0, 1] * 10)
    found = judged(evidence(wrong, counts([0] * 20), unit=CHARACTERS), min_characters=200, cer=0.2)
    assert found["file", "wer"].verdict == NOT_JUDGED and "evaluate.measure" in found["file", "wer"].about
    assert found["evidence", "characters"].figure == 200 and ("evidence", "words") not in found
    assert found["file", "cer"].figure == pytest.approx(0.05) and found["file", "cer"].verdict == PASS
    assert ("teacher", "wer") not in found and found["teacher", "cer"].figure == pytest.approx(0.05)
    assert found["teacher", "character_deletions"].figure == pytest.approx(0.05)
    assert refused(found) == {("teacher", "cer"), ("teacher", "character_deletions")}
    assert sentence(found["teacher", "cer"]).startswith(
        "ΔCER against the teacher (test): +5.00 points, by its interval"
    )
    few = judged(evidence(wrong, unit=CHARACTERS), min_characters=201)
    assert refused(few) == {("evidence", "characters")}


def test_one_wrong_character_in_each_of_five_chinese_sentences():
    said = ["今天天气很好", "请打开客厅的灯", "明天早上七点叫我", "播放音乐", "关闭窗户吧"]
    heard = ["今天天汽很好", "请打开客厅的等", "明天早上七点交我", "播放音月", "关闭床户吧"]
    found = count_errors(said, heard)
    columns = {name: np.array([getattr(count, name) for count in found]) for name in COUNTS}
    right = {name: np.zeros(5, int) if name not in ("words", "characters") else columns[name] for name in COUNTS}
    rules = judged(
        evidence(columns, right, unit=unit_of("auto", said), speakers=["one", "two"] * 3),
        min_utterances=5,
        min_characters=30,
        cer=0.25,
        teacher={"wer": 0.25, "group_wer": 0.25, "deletions": 0.0, "insertions": 0.0},
    )
    assert refused(rules) == set()
    assert rules["file", "wer"].verdict == NOT_JUDGED
    for reference in ("file", "teacher"):
        assert rules[reference, "cer"].figure == pytest.approx(5 / 30)
    in_words = judged(evidence(columns, right, speakers=["one", "two"] * 3), wer=0.99)
    assert in_words["file", "wer"].figure == 1.0
