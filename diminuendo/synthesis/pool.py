"""Worker processes that synthesize requests in order, restarted if they die."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

from diminuendo.core.errors import UserError

TIMEOUT_SECONDS = 20.0  # per utterance, which takes a few milliseconds
ATTEMPTS = 3
_GRACE_SECONDS = 15.0  # beyond the child's own limit, and for a worker to start on a busy machine


@dataclass(frozen=True)
class Request:
    """One utterance to speak; see ``espeak.speak``."""

    text: str
    voice: str
    words_per_minute: int
    pitch: int


class WorkerFailed(Exception):
    """A worker gave no usable answer; the request may be tried again."""


class Worker:
    """One worker process and the pipe to it."""

    def __init__(self, command: Sequence[str], timeout_seconds: float):
        self.timeout_seconds = timeout_seconds
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self._buffer = b""

    def ask(self, request: Request) -> np.ndarray:
        """int16 [N] samples of the request.

        Raises:
            WorkerFailed: the worker is gone, silent for too long, or reports a failure.
        """
        deadline = time.monotonic() + self.timeout_seconds + _GRACE_SECONDS
        try:
            self.process.stdin.write(json.dumps(asdict(request)).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise WorkerFailed(f"the worker process is gone ({error.strerror})") from error
        while b"\n" not in self._buffer:
            self._receive(deadline)
        header, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(header)
        if not answer["ok"]:
            raise WorkerFailed(answer["error"])
        size = 2 * answer["samples"]
        while len(self._buffer) < size:
            self._receive(deadline)
        pcm, self._buffer = self._buffer[:size], self._buffer[size:]
        return np.frombuffer(pcm, dtype="<i2")

    def _receive(self, deadline: float) -> None:
        pipe = self.process.stdout.fileno()
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise WorkerFailed(f"the worker process did not answer within {self.timeout_seconds + _GRACE_SECONDS:g} s")
        piece = os.read(pipe, 1 << 20)
        if not piece:
            raise WorkerFailed(f"the worker process ended with status {self.process.wait()}")
        self._buffer += piece

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # a request that a dead process did not take is flushed on closing
            self.process.stdin.close()
        self.process.stdout.close()


class SynthesisPool:
    """``workers`` processes; a context manager.

    Args:
        sample_rate: of the samples that ``speak`` gives, in Hz.
        command: what to run as a worker; see ``diminuendo.synthesis.worker`` for what it must answer.
    """

    def __init__(
        self,
        sample_rate: int,
        workers: int,
        timeout_seconds: float = TIMEOUT_SECONDS,
        command: Sequence[str] | None = None,
    ):
        module = [sys.executable, "-m", "diminuendo.synthesis.worker", str(sample_rate), str(timeout_seconds)]
        self._command = list(command or module)
        self._timeout_seconds = timeout_seconds
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all: list[Worker] = []
        self._threads = ThreadPoolExecutor(workers)
        self._workers = workers
        self._closed = False

    def __enter__(self) -> SynthesisPool:
        for _ in range(self._workers):
            self._start()
        return self

    def __exit__(self, *_error) -> None:
        self._closed = True
        for worker in self._all:
            worker.process.kill()  # wakes the threads that wait for it
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    def _start(self) -> None:
        worker = Worker(self._command, self._timeout_seconds)
        self._all.append(worker)
        self._idle.put(worker)

    def speak(self, requests: Iterable[Request]) -> Iterator[np.ndarray]:
        """int16 [N] for each request, in order; a few are synthesized ahead of the consumer.

        Raises:
            UserError: a request failed ``ATTEMPTS`` times; nothing is ever left out.
        """
        requests = iter(requests)
        ahead: list[Future] = [self._submit(r) for r in itertools.islice(requests, 16 * self._workers)]
        while ahead:
            samples = ahead.pop(0).result()
            ahead += [self._submit(r) for r in itertools.islice(requests, 1)]
            yield samples

    def _submit(self, request: Request) -> Future:
        return self._threads.submit(self._speak_one, request)

    def _speak_one(self, request: Request) -> np.ndarray:
        failures = []
        while len(failures) < ATTEMPTS and not self._closed:
            worker = self._idle.get()
            try:
                samples = worker.ask(request)
            except Exception as error:  # any error: a worker that is not put back would be waited for without end
                failures.append(str(error) if isinstance(error, WorkerFailed) else f"{type(error).__name__}: {error}")
                self._all.remove(worker)
                try:
                    worker.close()
                finally:
                    if not self._closed:
                        self._start()
            else:
                self._idle.put(worker)
                return samples
        raise UserError(
            f"eSpeak NG failed {len(failures)} times on voice {request.voice!r}, text {request.text!r}: "
            f"{'; '.join(dict.fromkeys(failures))}. Remove the voice or the words from the corpus folder, or run again"
        )
