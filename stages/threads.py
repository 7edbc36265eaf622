"""How many threads a training uses: part of its record, since sums are taken in as many parts and rounded accordingly.

A member trains on one thread, beside others. The teacher trains alone, on as many as its first steps are fastest with;
that is measured once on a machine and remembered, so that a run that is killed, or made again, takes the same number.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from diminuendo.core.cores import available_physical_cores
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, write_json

REMEMBERED = Path(".work/threads.json")
WORTH = 0.9  # of one thread's time: what more threads must come down to


def stated_threads() -> int | None:
    """What ``OMP_NUM_THREADS`` says, if it says anything.

    Raises:
        UserError: it is no number of threads.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if not stated:
        return None
    if not stated.isdecimal() or int(stated) < 1:
        raise UserError(f"OMP_NUM_THREADS: expected a number of threads from 1, found {stated!r}")
    return int(stated)


def fastest_threads(parameters: dict[str, Any], path: Path = REMEMBERED) -> int:
    """The number of threads with which the teacher of these parameters takes its first steps fastest; 1 for a GPU."""
    most = available_physical_cores()
    if most == 1:
        return 1
    key = digest_of_json([parameters, most])
    try:
        remembered = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        remembered = {}
    remembered = remembered if isinstance(remembered, dict) else {}
    if type(remembered.get(key)) is not int or not 1 <= remembered[key] <= most:
        choices = sorted({1, most, *(2**n for n in range(1, most.bit_length()))})
        seconds = _measure(choices)
        if not seconds:  # on a GPU, where nothing is to be measured
            return 1
        chosen = choose(seconds)
        told = ", ".join(f"{count}: {1000 * taken:.0f} ms" for count, taken in seconds.items())
        print(f"threads: {chosen}, by the time of a step ({told}); OMP_NUM_THREADS says otherwise", flush=True)
        remembered[key] = chosen
        write_json(path, remembered)
    return remembered[key]


def choose(seconds: dict[int, float]) -> int:
    """The fewest threads that are nearly as fast as any, and one where more are hardly worth it."""
    fastest = min(seconds.values())
    if fastest > WORTH * seconds[1]:
        return 1
    return min(count for count, taken in seconds.items() if taken <= fastest / WORTH)


def _measure(choices: list[int]) -> dict[int, float]:
    """Threads to seconds of a step, taken in a process of its own, which leaves nothing behind; empty for a GPU."""
    command = [sys.executable, "-m", "stages.measure_threads", *map(str, choices)]
    surroundings = {**os.environ, "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}  # see stages.context
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=surroundings)
    if done.returncode:
        raise UserError("the first steps of the training failed, for the reason above; nothing was trained")
    return {int(count): taken for count, taken in json.loads(done.stdout.splitlines()[-1]).items()}
