"""Recordings of the test split joined to minutes."""

import pytest

from benchmarks.long_recordings import recordings
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from tests.factories.audio import dummy_prepared


def test_more_minutes_than_there_are_is_one_message(tmp_path):
    corpus = PreparedCorpus.open(dummy_prepared(tmp_path / "prepared"))
    length = sum(utterance.duration for utterance in corpus.test)
    assert recordings(corpus, length / 2)
    with pytest.raises(UserError, match=r"--minutes: .*, the test split has .* minutes"):
        recordings(corpus, 2 * length)
