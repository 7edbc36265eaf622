"""Progress of a run: the current stages, their output, and about how much time is left."""

from __future__ import annotations

import heapq
import re
import threading
import time
from collections.abc import Callable, Mapping

from flows.graph import Graph, short
from flows.schedule import longest_ahead
from flows.stage import MADE

DOUBT_SECONDS = 60.0  # weight of the estimates before anything has ended: one short stage says little
# A bar of tqdm: `student:  56%|█████▋    | 869/1540 [01:20<00:54, …`
BAR = re.compile(r"\|\s*(\d+)/(\d+) \[[\d:]+<([\d:]+)")


def in_words(seconds: float) -> str:
    """A duration in words: ``40 s``, ``7 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds)):d} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Counts stages and estimates the end of a run. Its methods may be called from any thread.

    Args:
        expected: address of every stage that is to run, to the seconds that it should take.
        jobs: stages side by side.
        say: receives one line of text at a time.
    """

    def __init__(
        self, graph: Graph, expected: Mapping[str, float], jobs: int, say: Callable[[str], None] = print
    ) -> None:
        self.graph, self.expected, self.jobs, self.say = graph, dict(expected), jobs, say
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._left_by_bar: dict[str, tuple[float, float]] = {}  # when its bar was seen, and the time left there
        self._ended: dict[str, float] = {}
        self._number: dict[str, int] = {}
        self._factor = 1.0
        self._ahead = longest_ahead(graph, self.expected)
        self._width = max((len(short(name)) for name in self.expected), default=0)

    def begins(self, stage: str) -> None:
        with self._lock:
            self._began[stage] = time.monotonic()
            self._number[stage] = len(self._number) + 1
            self.say(f"{self._place(stage)} {short(stage)} begins; {self._left()}")

    def hears(self, stage: str, line: str) -> None:
        """Note a line of a stage; of a progress bar, its present state."""
        with self._lock:
            if bar := BAR.search(line):
                self._left_by_bar[stage] = (time.monotonic(), _seconds(bar[3]))
            self.say(f"  {short(stage):<{self._width}} │ {line}")

    def ends(self, stage: str, outcome: str) -> float:
        """Note the end of a stage; returns its duration."""
        with self._lock:
            took = time.monotonic() - self._began[stage]
            if outcome == MADE and stage in self.expected:
                self._ended[stage] = took
                done = sum(self.expected[name] for name in self._ended)
                self._factor = (sum(self._ended.values()) + DOUBT_SECONDS) / (done + DOUBT_SECONDS)
            else:
                self._ended[stage] = 0.0
                self.expected[stage] = 0.0
            done = f"{len(self._ended)} of {len(self.expected)} done"
            self.say(f"{self._place(stage)} {short(stage)}: {outcome} in {in_words(took)}; {done}, {self._left()}")
            return took

    def left(self) -> float:
        """The approximate number of seconds until the last stage ends."""
        now = time.monotonic()
        end_of: dict[str, float] = {}
        free = [0.0] * self.jobs
        waiting = []
        for stage in self.graph.upstream:
            if stage in self._ended or stage not in self.expected:
                end_of[stage] = 0.0
            elif stage in self._began:
                end_of[stage] = self._left_of(stage, now)
                heapq.heapreplace(free, end_of[stage])
            else:
                waiting.append(stage)
        while waiting:  # as in `run_stages`: of the stages that can begin, the one with the longest chain after it
            ready = {
                s: max([0.0, *(end_of[n] for n in self.graph.upstream[s])]) for s in waiting if self._may(s, end_of)
            }
            stage = min(ready, key=lambda s: (max(ready[s], free[0]), -self._ahead[s]))
            waiting.remove(stage)
            end_of[stage] = max(ready[stage], heapq.heappop(free)) + self.expected[stage] * self._factor
            heapq.heappush(free, end_of[stage])
        return max(end_of.values(), default=0.0)

    def _may(self, stage: str, ended: Mapping[str, float]) -> bool:
        return all(name in ended for name in self.graph.upstream[stage])

    def _left_of(self, stage: str, now: float) -> float:
        if stage in self._left_by_bar:
            seen, said = self._left_by_bar[stage]
            return max(1.0, said - (now - seen))
        return max(1.0, self.expected[stage] * self._factor - (now - self._began[stage]))

    def _left(self) -> str:
        seconds = self.left()
        return f"about {in_words(seconds)} left" if seconds >= 1 else "nothing left"

    def _place(self, stage: str) -> str:
        total = len(self.expected)
        return f"[{self._number[stage]:>{len(str(total))}}/{total}]"


def _seconds(clock: str) -> float:
    """``01:20`` or ``1:01:20`` as seconds."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)
