"""Samples of one population rarely warn, shifted ones do, and small ones are not accused of their size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diminuendo.config.shipping import DriftConfig
from diminuendo.core.errors import UserError
from diminuendo.drift import Statistics, compare, write_report
from diminuendo.drift.stability import inner_edges, one_hot, stability_index
from tests.factories.drift import WORDS, dummy_statistics

LIMITS = DriftConfig(stability_index=0.25, out_of_vocabulary=0.05)


@pytest.fixture(scope="module")
def reference():
    return dummy_statistics(0, speakers=80, each=5)


def test_the_index_is_what_it_is_defined_to_be():
    old, new = np.array([50, 30, 20]), np.array([20, 30, 50])
    assert stability_index(1e6 * old, 1e6 * new) == pytest.approx(2 * 0.3 * np.log(5 / 2), rel=1e-4)
    assert stability_index(old, old) == 0
    assert np.isfinite(stability_index(np.array([10, 0]), np.array([0, 10])))


def test_a_feature_that_is_mostly_zero_has_fewer_bins():
    values = np.array([0.0] * 95 + [1.0] * 5)
    rows = one_hot(values, inner_edges(values))
    assert rows.sum(axis=0).tolist() == [95, 5, 0]


@pytest.mark.parametrize(("speakers", "each"), [(3, 4), (6, 10), (20, 5)])
def test_samples_of_the_same_kind_rarely_warn(reference, speakers, each):
    warned, beyond = 0, 0
    for trial in range(8):
        report = compare(reference, dummy_statistics(100 + trial, speakers, each), LIMITS)
        warned += bool(report.warnings)
        beyond += any(feature.index > LIMITS.stability_index for feature in report.features)
    assert warned <= 1
    if speakers < 20:
        assert beyond >= 5  # the limit alone would have warned of most of them


@pytest.mark.parametrize(("speakers", "each"), [(6, 10), (20, 5)])
@pytest.mark.parametrize("name", ["level", "duration"])
def test_a_shifted_sample_is_named(reference, name, speakers, each):
    report = compare(reference, dummy_statistics(7, speakers, each, shift={name: 4.0}), LIMITS)
    assert [feature.name for feature in report.features if feature.shifted] == [name]
    (warning,) = report.warnings
    assert warning.startswith(name)


def test_other_words_are_named(reference):
    report = compare(reference, dummy_statistics(8, 10, 5, words=["kumquat", "你", *WORDS[20:]]), LIMITS)
    assert {feature.name for feature in report.features if feature.shifted} == {"characters", "words"}
    unknown = report.out_of_vocabulary
    assert unknown.shifted and set(unknown.words) == {"kumquat", "你"} and unknown.characters == "akmqtu你"
    assert "'kumquat'" in "\n".join(report.warnings)


def test_words_that_every_speaker_brings_are_no_drift():
    names = [f"name{number}" for number in range(4000)]
    old = dummy_statistics(1, 60, 5, words=names)
    report = compare(old, dummy_statistics(2, 20, 5, words=names), LIMITS)
    assert report.out_of_vocabulary.rate > LIMITS.out_of_vocabulary
    assert not report.out_of_vocabulary.shifted


def test_a_speaker_beyond_all_others_is_told_though_there_were_few():
    old = dummy_statistics(3, speakers=4, each=100)
    far = compare(old, dummy_statistics(4, speakers=1, each=80, shift={"level": 9.0}), LIMITS)
    assert "level" in [feature.name for feature in far.features if feature.shifted]


def test_kept_statistics_give_the_same_report(reference, tmp_path):
    new = dummy_statistics(9, 10, 5, shift={"level": 5.0})
    reference.save(tmp_path / "statistics.json")
    kept = Statistics.load(tmp_path / "statistics.json")
    assert compare(kept, new, LIMITS).as_dict() == compare(reference, new, LIMITS).as_dict()


@pytest.mark.parametrize("content", ["", "[]", '{"format": 9}', '{"format": 1}'])
def test_what_is_no_statistics_file_is_refused(tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UserError, match=r"bad\.json: not the statistics"):
        Statistics.load(tmp_path / "bad.json")


def test_the_report_is_written_for_programs_and_people(reference, tmp_path):
    report = compare(reference, dummy_statistics(10, 10, 5, shift={"level": 5.0}), LIMITS)
    write_report(report, tmp_path / "drift")
    found = json.loads((tmp_path / "drift/drift.json").read_text())
    assert found["warnings"] == list(report.warnings)
    assert found["features"]["level"]["shifted"] and not found["features"]["duration"]["shifted"]
    assert found["features"]["level"]["new"]["p50"] > found["features"]["level"]["reference"]["p90"]
    page = (tmp_path / "drift/drift.md").read_text()
    assert "| level |" in page and "**shifted**" in page
    assert (tmp_path / "drift/drift.png").stat().st_size > 20_000


def test_a_folder_with_anything_else_in_it_is_not_emptied_for_a_report(reference, tmp_path):
    report = compare(reference, dummy_statistics(10, 10, 5), LIMITS)
    (tmp_path / "drift").mkdir()
    write_report(report, tmp_path / "drift")
    write_report(report, tmp_path / "drift")
    (tmp_path / "drift/notes").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("drift")
    for name, said in (("drift", "holds 'notes'"), ("file", "not a folder"), ("link", "not a folder")):
        with pytest.raises(UserError, match=said):
            write_report(report, tmp_path / name)
    assert (tmp_path / "drift/notes").is_dir() and (tmp_path / "file").read_text() == "mine"
