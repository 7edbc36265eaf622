import json

import pytest

from diminuendo.core.errors import UserError
from stages import threads


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 2: 0.6}, 2),
        ({1: 1.0, 2: 0.95}, 1),  # hardly worth a second core
        ({1: 1.0, 2: 3.0}, 1),  # threads that wait for each other beside other work
        ({1: 1.0, 2: 0.55, 4: 0.52}, 2),
        ({1: 1.0, 2: 0.6, 4: 0.3}, 4),
    ],
)
def test_the_fewest_threads_that_are_nearly_the_fastest(seconds, expected):
    assert threads.choose(seconds) == expected


def test_the_choice_is_measured_once_and_remembered(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(threads, "available_physical_cores", lambda: 4)
    monkeypatch.setattr(threads, "_measure", lambda choices: asked.append(choices) or {1: 1.0, 2: 0.5, 4: 0.49})
    path = tmp_path / "threads.json"
    assert threads.fastest_threads({"epochs": 3}, path) == 2
    assert threads.fastest_threads({"epochs": 3}, path) == 2
    assert asked == [[1, 2, 4]] and "threads: 2" in capsys.readouterr().out
    (key,) = json.loads(path.read_text())
    garbage = ["garbage", "[]", "5", "null", *(json.dumps({key: value}) for value in (0, -3, 10**9, True, "2"))]
    for count, text in enumerate(garbage, 2):
        path.write_text(text)
        assert threads.fastest_threads({"epochs": 3}, path) == 2 and len(asked) == count
        assert json.loads(path.read_text()) == {key: 2}


def test_nothing_is_remembered_where_a_gpu_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "available_physical_cores", lambda: 4)
    monkeypatch.setattr(threads, "_measure", lambda choices: {})
    path = tmp_path / "threads.json"
    assert threads.fastest_threads({}, path) == 1 and not path.exists()


def test_one_core_needs_no_measurement(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "available_physical_cores", lambda: 1)
    assert threads.fastest_threads({}, tmp_path / "none.json") == 1


@pytest.mark.parametrize("stated", ["0", "-1", "many", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, stated):
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    with pytest.raises(UserError, match="OMP_NUM_THREADS"):
        threads.stated_threads()
