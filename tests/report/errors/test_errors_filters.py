"""What a reader can choose by."""

from __future__ import annotations

from types import MappingProxyType

from diminuendo.data.prepared import Utterance
from diminuendo.report.errors.filters import filters_of


def utterances(seconds, **keys):
    values = [dict(zip(keys, line)) for line in zip(*keys.values())] if keys else [{} for _ in seconds]
    return [
        Utterance(
            str(index), "", 0, length, "a", extra=MappingProxyType({k: v for k, v in own.items() if v is not None})
        )
        for index, (length, own) in enumerate(zip(seconds, values))
    ]


def by_key(found):
    return {filter_.key: (filter_.values, filter_.of) for filter_ in found}


def test_keys_of_group_by_then_length_then_noise():
    found = filters_of(
        utterances([1, 1, 2], accent=["hills", None, "coast"], room_noise=["car", "fan", "car"]), ["accent"]
    )
    assert [filter_.key for filter_ in found] == ["accent", "length", "room_noise"]
    told = by_key(found)
    assert told["accent"] == (("coast", "hills", "(not stated)"), (1, 2, 0))
    assert told["length"] == (("1 s", "2 s"), (0, 0, 1))
    assert told["room_noise"] == (("car", "fan"), (0, 1, 0))


def test_numbers_are_ranges_of_about_equal_size():
    found = by_key(filters_of(utterances([1 + index / 10 for index in range(40)]), []))
    values, of = found["length"]
    assert values == ("up to 2 s", "2 to 3 s", "3 to 3.9 s", "over 3.9 s")
    assert [of.count(index) for index in range(4)] == [11, 10, 9, 10]


def test_noise_in_decibels_and_where_it_is_not_stated():
    found = by_key(filters_of(utterances([1, 1, 1], snr_db=[10, 0.0, None]), []))
    assert found == {"snr_db": (("0 dB", "10 dB", "(not stated)"), (1, 0, 2))}


def test_what_has_one_value_and_what_only_sounds_like_noise_is_no_filter():
    same = utterances([1, 1], accent=["hills", "hills"], noiseless=["a", "b"], noise=["x", "x"])
    assert filters_of(same, ["accent"]) == []


def test_a_key_of_group_by_that_tells_of_noise_stands_once():
    assert [f.key for f in filters_of(utterances([1, 1], noise=["x", "y"]), ["noise"])] == ["noise"]
