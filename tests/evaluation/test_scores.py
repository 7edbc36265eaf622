"""Counts from stored hypotheses, as they were decoded and after a normaliser."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from diminuendo.core.errors import UserError
from diminuendo.evaluation.accuracy import HYPOTHESES
from diminuendo.evaluation.scores import COUNTS, NORMALISED, read_scores, told_emptied
from diminuendo.evaluation.scoring import count_errors
from diminuendo.metrics.normalizers import normalizer_of

PAIRS = [
    ("it's a grey day", "it is a gray day"),  # two words wrong and one too many; none after the normaliser
    ("twenty one", "21"),
    ("stop", "shop"),
    ("um", "um no"),  # nothing is left of the reference
]


def written(folder, pairs=PAIRS):
    folder.mkdir()
    with open(folder / HYPOTHESES, "w", encoding="utf-8") as file:
        for index, pair in enumerate(pairs):
            (counts,) = count_errors(*([text] for text in pair))
            texts = dict(zip(("reference", "hypothesis"), pair))
            line = {"id": f"u{index}", **texts, **asdict(counts), "character_errors": counts.character_errors}
            file.write(json.dumps(line) + "\n")
    return folder


def word_errors(counts):
    return (counts["substitutions"] + counts["deletions"] + counts["insertions"]).tolist()


def test_without_a_normaliser_the_stored_counts_are_all_there_is(tmp_path):
    scores = read_scores(written(tmp_path / "member"), None, into=tmp_path / "member")
    assert set(scores.counts) == {*COUNTS, "loops"} and scores.raw is None and scores.emptied == ()
    assert word_errors(scores.counts) == [3, 2, 1, 1] and list(scores.systems) == [""]
    assert not (tmp_path / "member" / NORMALISED).exists()


def test_english_scores_what_was_said(tmp_path):
    folder = written(tmp_path / "member")
    scores = read_scores(folder, normalizer_of("english"), into=folder)
    assert word_errors(scores.raw) == [3, 2, 1, 1] and scores.raw["words"].tolist() == [4, 2, 1, 1]
    assert word_errors(scores.counts) == [0, 0, 1, 1] and scores.counts["words"].tolist() == [5, 1, 1, 0]
    assert scores.counts["character_errors"].tolist() == [0, 0, 1, 2]
    lines = [json.loads(line) for line in (folder / NORMALISED).read_text().splitlines()]
    assert [line["reference"] for line in lines] == ["it is a gray day", "21", "stop", ""]
    assert [line["id"] for line in lines] == ["u0", "u1", "u2", "u3"]
    assert all(np.array_equal(scores.counts[key], [line[key] for line in lines]) for key in COUNTS)


def test_basic_changes_neither_spelling_nor_contractions(tmp_path):
    scores = read_scores(written(tmp_path / "member"), normalizer_of("basic"))
    assert word_errors(scores.counts) == [2, 2, 1, 1]  # an apostrophe is a space: "it s"


def test_a_reference_that_is_emptied_is_told_and_counts_as_any_empty_one(tmp_path):
    normalizer = normalizer_of("english")
    scores = read_scores(written(tmp_path / "member"), normalizer)
    assert scores.emptied == ("u3",)
    assert scores.counts["insertions"][3] == 1 and scores.counts["words"][3] == 0
    assert told_emptied(scores, normalizer).startswith("1 reference has no words after the normaliser english (u3)")
    many = read_scores(written(tmp_path / "many", [("um", "")] * 7 + [("stop", "stop")]), normalizer)
    assert told_emptied(many, normalizer).startswith("7 references have") and "u4 …)" in told_emptied(many, normalizer)


def test_a_reference_that_was_empty_before_is_not_told(tmp_path):
    scores = read_scores(written(tmp_path / "member", [("", "a"), ("stop", "stop")]), normalizer_of("english"))
    assert scores.emptied == () and scores.counts["insertions"].tolist() == [1, 0]


def test_a_test_set_of_which_nothing_is_left_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"english .* leaves no word in any of the 2 references"):
        read_scores(written(tmp_path / "member", [("um", "um"), ("hmm", "a")]), normalizer_of("english"))
