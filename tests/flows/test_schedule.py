import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.graph import Graph
from flows.schedule import longest_ahead, run_stages

DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


class Fake:
    """Runs stages in threads; remembers in which order they began and ended, and how many ran at once."""

    def __init__(self, failing=(), unchanged=()):
        self.failing, self.unchanged = failing, unchanged
        self.begun, self.ended, self.fresh = [], [], {}
        self.running, self.most, self.lock = 0, 0, threading.Lock()

    def submit(self, name, fresh, finished):
        self.fresh[name] = fresh

        def work():
            with self.lock:
                self.begun.append(name)
                self.running += 1
                self.most = max(self.most, self.running)
            time.sleep(0.005)
            with self.lock:
                self.running -= 1
                self.ended.append(name)
            finished(name)

        threading.Thread(target=work).start()

    def outcome(self, name):
        if name in self.failing:
            raise RuntimeError(name)
        return name not in self.unchanged and not self.fresh[name]


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 8))
    upstream = {}
    for index in range(count):
        upstream[f"s{index}"] = tuple(f"s{other}" for other in range(index) if draw(st.booleans()))
    return Graph(upstream, frozenset(upstream))


@given(graphs(), st.integers(1, 3))
def test_every_stage_runs_once_after_what_it_reads_and_never_more_than_allowed_at_once(graph, jobs):
    fake = Fake()
    run_stages(graph, jobs, fake.submit, fake.outcome)
    assert sorted(fake.begun) == sorted(graph.upstream) and fake.most <= jobs
    ended = []
    for name in fake.ended:
        assert set(graph.upstream[name]) <= set(ended)
        ended.append(name)


def test_what_does_not_need_each_other_runs_side_by_side():
    fake = Fake()
    run_stages(Graph(DIAMOND, frozenset(DIAMOND)), 2, fake.submit, fake.outcome)
    assert fake.most == 2


def test_what_nothing_new_flows_into_is_fresh():
    fake = Fake(unchanged=("b",))
    run_stages(Graph(DIAMOND, frozenset({"b"})), 1, fake.submit, fake.outcome)
    assert fake.fresh == {"a": True, "b": False, "c": True, "d": True}
    fake = Fake()
    run_stages(Graph(DIAMOND, frozenset({"b"})), 1, fake.submit, fake.outcome)
    assert fake.fresh == {"a": True, "b": False, "c": True, "d": False}


def test_the_stage_that_most_waits_for_begins_first():
    upstream = {"quick": (), "slow": (), "after": ("slow",), "end": ("quick", "after")}
    fake, expected = Fake(), {"quick": 5.0, "slow": 4.0, "after": 9.0, "end": 1.0}
    run_stages(Graph(upstream, frozenset(upstream)), 1, fake.submit, fake.outcome, expected)
    assert fake.begun == ["slow", "after", "quick", "end"]
    assert longest_ahead(Graph(upstream, frozenset()), expected) == {
        "quick": 6.0,
        "slow": 14.0,
        "after": 10.0,
        "end": 1.0,
    }


def test_after_a_failure_nothing_begins_and_the_failure_is_raised():
    fake = Fake(failing=("b",))
    with pytest.raises(RuntimeError, match="b"):
        run_stages(Graph(DIAMOND, frozenset(DIAMOND)), 2, fake.submit, fake.outcome)
    assert "d" not in fake.begun and fake.running == 0
