from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.peers.clips import clips_of
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import Utterance

RATE = 10


def corpus_of(*told):
    """``told``: speaker and seconds of each utterance of test."""
    test = [Utterance(f"u{i}", "", 0.0, seconds, f"t{i}", speaker) for i, (speaker, seconds) in enumerate(told)]
    return SimpleNamespace(
        test=test,
        sample_rate=RATE,
        audio=lambda one: np.full(round(one.duration * RATE), float(one.id[1:]) + 1, dtype=np.float32),
    )


def test_utterances_alone_are_as_they_are():
    corpus = corpus_of(("a", 1.0), ("a", 3.0))
    (clip,) = clips_of(corpus, (2.0, 4.0), joined=False)
    assert (clip.text, clip.duration, len(clip.waveform(corpus))) == ("t1", 3.0, 30)


def test_utterances_in_a_row_are_joined_up_to_the_longest():
    corpus = corpus_of(("a", 2.0), ("b", 2.0), ("a", 3.0), ("b", 1.0))
    clips = clips_of(corpus, (0.0, 5.0), joined=True)
    assert [clip.text for clip in clips] == ["t0 t1", "t2 t3"]
    assert [clip.duration for clip in clips] == [4.5, 4.5]
    assert clips[0].waveform(corpus).tolist() == [1.0] * 20 + [0.0] * 5 + [2.0] * 20


def test_those_of_one_value_alone():
    corpus = corpus_of(("a", 2.0), ("b", 2.0), ("a", 3.0))
    clips = clips_of(corpus, (0.0, 6.0), joined=True, where=("speaker", "a"))
    assert [clip.text for clip in clips] == ["t0 t2"]


def test_no_utterance_is_lost_by_joining():
    corpus = corpus_of(*(("ab"[i % 7 == 0], 0.5 + i % 3) for i in range(20)))
    clips = clips_of(corpus, (0.0, 4.0), joined=True)
    assert [part for clip in clips for part in clip.parts] == corpus.test


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"joined": True}, "in test no utterances that follow on each other are 9 to 10 s long"),
        ({"joined": False, "where": ("speaker", "b")}, "in test with speaker b no utterance is 9 to 10 s long"),
    ],
    ids=["joined", "alone"],
)
def test_what_is_not_there_is_said(asked, said):
    with pytest.raises(UserError, match=said):
        clips_of(corpus_of(("a", 2.0)), (9.0, 10.0), **asked)
