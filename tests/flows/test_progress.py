import pytest

from flows import progress as progress_module
from flows.graph import Graph
from flows.progress import Progress, in_words
from flows.stage import FROM_CACHE, MADE, UNCHANGED

GRAPH = Graph({"teacher": (), "one": ("teacher",), "two": ("teacher",), "end": ("one", "two")}, frozenset({"teacher"}))
EXPECTED = {"teacher": 100.0, "one": 40.0, "two": 60.0, "end": 10.0}


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(progress_module.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (420, "7 min"), (4800, "80 min"), (6000, "1 h 40 min")]
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(("jobs", "left"), [(1, 210.0), (2, 170.0)])
def test_time_left_is_that_of_the_schedule(clock, jobs, left):
    assert Progress(GRAPH, EXPECTED, jobs, lambda _: None).left() == left


def test_a_machine_that_is_twice_as_slow_is_learned_from_the_first_stage(clock):
    progress = Progress(GRAPH, EXPECTED, 2, lambda _: None)
    progress.begins("teacher")
    clock.now = 200.0
    assert progress.ends("teacher", MADE) == 200.0
    assert progress.left() == pytest.approx((200 + 60) / (100 + 60) * 70)


def test_a_bar_knows_better_than_the_estimate(clock):
    progress = Progress(GRAPH, {"teacher": 100.0}, 1, lambda _: None)
    progress.begins("teacher")
    clock.now = 5.0
    progress.hears("teacher", "teacher:  56%|█████▋    | 869/1540 [01:20<10:54, 12.34step/s, loss=0.910]")
    assert progress.left() == 654.0
    clock.now = 15.0
    assert progress.left() == 644.0


def test_which_stage_of_how_many_and_what_it_says(clock):
    said = []
    progress = Progress(GRAPH, EXPECTED, 2, said.append)
    progress.begins("teacher")
    progress.hears("teacher", "a word")
    clock.now = 100.0
    progress.ends("teacher", MADE)
    progress.begins("families/x/dvc.yaml:one")
    assert said[0] == "[1/4] teacher begins; about 3 min left"
    assert said[1] == "  teacher │ a word"
    assert said[2].startswith("[1/4] teacher: made anew in 2 min; 1 of 4 done, about 70 s left")
    assert said[3].startswith("[2/4] one begins")


def test_a_stage_that_had_nothing_to_do_teaches_nothing(clock):
    progress = Progress(GRAPH, EXPECTED, 2, lambda _: None)
    progress.begins("teacher")
    progress.ends("teacher", UNCHANGED)
    assert progress.left() == 70.0


def test_a_stage_out_of_dvcs_cache_does_not_make_the_machine_fast(clock):
    progress = Progress(GRAPH, EXPECTED, 2, lambda _: None)
    progress.begins("teacher")
    clock.now = 1.0
    progress.ends("teacher", FROM_CACHE)
    assert progress.left() == 70.0
