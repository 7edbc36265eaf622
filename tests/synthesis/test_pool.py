import os
import signal
import sys
import textwrap
import time

import numpy as np
import pytest

from diminuendo.core.errors import UserError
from diminuendo.synthesis.pool import ATTEMPTS, Request, SynthesisPool
from diminuendo.synthesis.worker import ChildFailed, isolated

HELLO = Request("turn on the light", "en-us+f3", 160, 50)
OTHER = Request("play the next song in the kitchen", "en-gb-scotland+m3", 190, 40)


def test_the_same_request_sounds_the_same_whoever_speaks_it_and_whatever_was_said_before():
    with SynthesisPool(16000, workers=1) as pool:
        alone = next(pool.speak([HELLO]))
        after = list(pool.speak([OTHER, OTHER, HELLO]))[-1]
    with SynthesisPool(16000, workers=2) as pool:
        spread = list(pool.speak([OTHER, HELLO, OTHER, HELLO]))
    for samples in (after, spread[1], spread[3]):
        np.testing.assert_array_equal(alone, samples)
    np.testing.assert_array_equal(spread[0], spread[2])
    assert alone.dtype == np.int16 and 0.8 < len(alone) / 16000 < 3 and np.abs(alone).max() > 2000
    quiet = round(0.1 * 16000)
    assert np.abs(alone[:quiet]).max() < 200 and np.abs(alone[-quiet:]).max() < 200


def test_rate_pitch_and_voice_are_heard():
    requests = [HELLO] + [Request(**{**HELLO.__dict__, **change}) for change in (
        {"words_per_minute": 250}, {"pitch": 90}, {"voice": "en-us+m3"}, {"voice": "en-029+f3"})]  # fmt: skip
    with SynthesisPool(8000, workers=2) as pool:
        plain, fast, *others = pool.speak(requests)
    assert len(fast) < 0.8 * len(plain)
    assert all(len(o) != len(plain) or not np.array_equal(o, plain) for o in others)


def test_a_killed_worker_is_replaced_and_nothing_is_lost():
    requests = [HELLO, OTHER] * 20
    with SynthesisPool(16000, workers=2) as pool:
        expected = [next(pool.speak([HELLO])), next(pool.speak([OTHER]))]
        spoken = pool.speak(requests)
        heard = [next(spoken)]
        victims = [worker.process.pid for worker in pool._all]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        heard += spoken
        assert not {worker.process.pid for worker in pool._all} & set(victims)
    assert len(heard) == len(requests)
    for index, samples in enumerate(heard):
        np.testing.assert_array_equal(samples, expected[index % 2])


def fake_worker(folder, body):
    """A worker whose ``attempt`` counts the requests that all its processes have had."""
    script = folder / "worker.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json, os, signal, sys, time
            for line in iter(sys.stdin.buffer.readline, b""):
                with open({str(folder / "attempts")!r}, "a+") as count:
                    count.write("x")
                    count.seek(0)
                    attempt = len(count.read())
                def answer(header, pcm=b""):
                    sys.stdout.buffer.write(json.dumps(header).encode() + b"\\n" + pcm)
                    sys.stdout.buffer.flush()
                def good():
                    answer({{"ok": True, "samples": 2}}, b"\\x01\\x00\\x02\\x00")
            """
        )
        + textwrap.indent(textwrap.dedent(body), "    ")
    )
    return [sys.executable, str(script)]


@pytest.mark.parametrize(
    "first",
    [
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "sys.exit(3)",
        'answer({"ok": False, "error": "no answer within 1 s"})',
        'answer({"ok": True, "samples": 2}, b"\\x01"); sys.exit(0)',
        'sys.stdout.buffer.write(b"what?\\n"); sys.exit(0)',
        'answer({"no": "answer"}); sys.exit(0)',
    ],
)
def test_a_failure_is_tried_again(tmp_path, first):
    command = fake_worker(
        tmp_path,
        f"{first} if attempt == 1 else good()" if ";" not in first else f"if attempt == 1: {first}\ngood()",
    )
    with SynthesisPool(16000, 1, command=command) as pool:
        assert [s.tolist() for s in pool.speak([HELLO, OTHER])] == [[1, 2], [1, 2]]
    assert len((tmp_path / "attempts").read_text()) == 3


def test_a_worker_that_hangs_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("diminuendo.synthesis.pool._GRACE_SECONDS", 1.0)
    command = fake_worker(tmp_path, "time.sleep(60) if attempt == 1 else good()")
    began = time.monotonic()
    with SynthesisPool(16000, 1, timeout_seconds=0.5, command=command) as pool:
        assert next(pool.speak([HELLO])).tolist() == [1, 2]
    assert time.monotonic() - began < 20


def test_a_lasting_failure_names_the_utterance_and_the_reason(tmp_path):
    command = fake_worker(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    with SynthesisPool(16000, 2, command=command) as pool, pytest.raises(UserError) as error:
        list(pool.speak([HELLO, OTHER]))
    message = str(error.value)
    assert f"failed {ATTEMPTS} times on voice 'en-us+f3', text 'turn on the light'" in message and "-11" in message
    assert all(worker.process.poll() is not None for worker in pool._all), "a worker was left behind"


def test_a_voice_that_is_not_there_is_an_error():
    with SynthesisPool(16000, 1) as pool, pytest.raises(UserError, match="no voice is called 'xx-nowhere'"):
        next(pool.speak([Request("hello", "xx-nowhere", 160, 50)]))


def test_a_child_is_isolated():
    assert isolated(lambda: b"x" * 3_000_000, 10) == b"x" * 3_000_000
    with pytest.raises(ChildFailed, match="ended by SIGKILL"):
        isolated(lambda: os.kill(os.getpid(), signal.SIGKILL), 10)
    with pytest.raises(ChildFailed, match="ValueError: not like this"):
        isolated(lambda: (_ for _ in ()).throw(ValueError("not like this")), 10)
    with pytest.raises(ChildFailed, match="status 7"):
        isolated(lambda: os._exit(7), 10)
    began = time.monotonic()
    with pytest.raises(ChildFailed, match=r"no answer within 0\.3 s"):
        isolated(lambda: time.sleep(60), 0.3)
    assert time.monotonic() - began < 5


def test_a_hanging_child_dies_when_the_worker_is_left_alone():
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(EOFError):
        isolated(lambda: time.sleep(60), 30, give_up=reader)
    os.close(reader)
