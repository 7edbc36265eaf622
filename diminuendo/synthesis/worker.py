"""A process that synthesizes speech: ``python -m diminuendo.synthesis.worker SAMPLE_RATE TIMEOUT_SECONDS``.

It reads one JSON request per line and answers each with a line of JSON, followed by ``samples`` little-endian 16-bit
samples when ``ok`` is true. Every request is spoken in a forked child of its own: eSpeak NG starts from the same state
each time, so an answer depends on its request only, and a crash or an endless loop ends the child, not the worker.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import BinaryIO


class ChildFailed(Exception):
    """The forked child crashed, hung or refused the request."""


def isolated(call: Callable[[], bytes], timeout_seconds: float, give_up: int | None = None) -> bytes:
    """The bytes that ``call`` returns in a forked child.

    Args:
        give_up: a file descriptor; when it becomes readable the child is killed and EOFError is raised. It is the
            worker's own input, on which nothing but its end can arrive while a request is under way.

    Raises:
        ChildFailed: the child was ended by a signal, took longer than ``timeout_seconds``, or ``call`` raised.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            try:
                message = b"\0" + call()
            except Exception as error:
                message = b"\1" + f"{type(error).__name__}: {error}".encode()
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(message)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    received: list[bytes] = []
    deadline = time.monotonic() + timeout_seconds
    try:
        while True:
            watched = [reader] if give_up is None else [reader, give_up]
            ready, _, _ = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))
            if reader in ready:
                piece = os.read(reader, 1 << 20)
                if not piece:
                    break
                received.append(piece)
            elif ready:
                raise EOFError
            else:
                raise ChildFailed(f"no answer within {timeout_seconds:g} s")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(reader)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        reason = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        raise ChildFailed(reason)
    message = b"".join(received)
    if message[:1] != b"\0":
        raise ChildFailed(message[1:].decode())
    return message[1:]


def serve(requests: BinaryIO, answers: BinaryIO, sample_rate: int, timeout_seconds: float) -> None:
    """Answer requests until their stream ends."""
    import numpy as np

    from diminuendo.data.audio import to_pcm16, trim_silence
    from diminuendo.data.resample import resample
    from diminuendo.synthesis.espeak import load_library, speak

    library, rate = load_library()
    while line := requests.readline():
        request = json.loads(line)
        try:
            call = functools.partial(speak, library, **request)
            spoken = isolated(call, timeout_seconds, give_up=requests.fileno())
            voice = np.frombuffer(spoken, dtype=np.int16).astype(np.float32) / 32768
            voice = trim_silence(voice, rate, keep_seconds=0.15)
            if not len(voice):
                raise ChildFailed("the synthesiser gave silence")
            pcm = to_pcm16(resample(voice, rate, sample_rate)).astype("<i2").tobytes()
            header = {"ok": True, "samples": len(pcm) // 2}
        except ChildFailed as error:
            pcm, header = b"", {"ok": False, "error": str(error)}
        except EOFError:
            return
        answers.write(json.dumps(header).encode() + b"\n" + pcm)
        answers.flush()


def main() -> None:
    # Unbuffered, so that a readable descriptor really has unread data.
    with open(0, "rb", buffering=0) as requests:
        serve(requests, sys.stdout.buffer, int(sys.argv[1]), float(sys.argv[2]))


if __name__ == "__main__":
    main()
