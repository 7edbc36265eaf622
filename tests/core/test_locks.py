"""Locks that end with their holder, and looks that disturb nobody."""

import fcntl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from filelock import Timeout

from diminuendo.core.locks import UNSAID, hold, holder, is_held, one_at_a_time, only_one
from tests.factories.project import ROOT, environment

HOLD = "from diminuendo.core.locks import hold; lock = hold(Path(sys.argv[1]))"
LOOK = "import fcntl; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_SH)"


@contextmanager
def another(code, path):
    """A process that runs ``code`` and then waits for its end, or for a line to go on for 0.1 s."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            f"import sys, time\nfrom pathlib import Path\n{code}\n"
            "print('there', flush=True); sys.stdin.readline(); time.sleep(0.1)",
            str(path),
        ],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "there\n"
            yield process
        finally:
            process.kill()


def test_a_look_at_a_lock_neither_takes_it_nor_makes_it(tmp_path):
    path = tmp_path / "lock"
    assert holder(path) is None and not path.exists()
    with only_one(path, "first"):
        assert holder(path) == "first"
        with only_one(path, "second") as other:
            assert other == "first"
        assert holder(path) == "first"
    assert holder(path) is None


def test_two_who_look_do_not_see_each_other(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with open(path) as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(path)


def test_whoever_wants_a_lock_waits_for_one_who_only_looks(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with another(LOOK, path) as looking:
        looking.stdin.write("\n")
        looking.stdin.flush()
        with only_one(path, "mine") as other:
            assert other is None


def test_a_lock_ends_with_a_holder_that_is_killed(tmp_path):
    path = tmp_path / "lock"
    with another(HOLD, path) as holding:
        assert is_held(path) and holder(path) == UNSAID
        with pytest.raises(Timeout):
            hold(path, patience=0)
        holding.kill()
        holding.wait()
        assert not is_held(path)
        hold(path, patience=0).release()


def test_what_the_file_holds_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes"
    path.write_text("a note\n")
    with one_at_a_time(path):
        assert path.read_text() == "a note\n"
    assert path.read_text() == "a note\n"


def test_no_two_hold_a_lock_whose_file_is_removed_each_time(tmp_path):
    """Who waited for the removed file must not hold it while another holds the new one."""
    path, inside, most = tmp_path / "lock", [], []

    def work():
        for _ in range(20):
            with one_at_a_time(path, remove=True):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and max(most) == 1
    assert not list(tmp_path.iterdir())
