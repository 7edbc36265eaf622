"""A model of unknown origin is opened and run once in a process of its own, with little memory and little time.

A file of a few bytes may ask ONNX Runtime for terabytes, for hours, or make it end the process. There the kernel ends
the trial and nothing else; what it was is told in one sentence.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.runtime.model import AcousticModel, format_of, opened_sessions
from diminuendo.runtime.seq2seq.model import TextModel

SECONDS = 5.0  # of a processor, for a file of no size
PATIENCE = (
    8  # times as long by the clock: the machine may have other work, and a trial that waits is no fault of the file
)
BYTES_A_SECOND = 10_000_000  # of the file, for which there is a second more
MEMORY = 700_000_000  # bytes besides what the process has, and
MEMORY_OF_FILE = 20  # times the file
AUDIO_SECONDS = 0.5
TOKENS = 4  # of a file that writes them
_WHOLE, _REFUSED = 0, 3


def try_out(path: str | Path) -> None:
    """Return if a model can be opened and run. Only Linux splits a process safely; elsewhere nothing is done.

    Raises:
        UserError: it cannot, or takes more time or memory than a file of its size can need.
    """
    path = Path(path)
    if not sys.platform.startswith("linux"):
        return
    size = _size(path)
    seconds = SECONDS + size / BYTES_A_SECOND
    # A session has threads, and a process with threads cannot be split: what they hold would be held for ever.
    said, status = (_in_new_process if opened_sessions() else _in_split_process)(path, size, seconds)
    if status == _WHOLE:
        return
    if said:
        raise UserError(said)
    raise UserError(
        f"{path}: ONNX Runtime cannot use it: {_ending(status)} when it was opened and run over {AUDIO_SECONDS:g} s of "
        "noise; it is no file of diminuendo, or a damaged one"
    )


def main() -> None:
    """``python -m diminuendo.runtime.trial MODEL``: the trial itself, in this process, which ends with it."""
    path = Path(sys.argv[1])
    size = _size(path)
    _run_and_end(path, size, SECONDS + size / BYTES_A_SECOND, os.dup(1))


def _in_new_process(path: Path, size: int, seconds: float) -> tuple[str, int]:
    """What the trial says, and how it ends: its exit status, or the number of a signal below zero."""
    source = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "diminuendo.runtime.trial", str(path)]
    try:
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PATIENCE * seconds
        )
    except subprocess.TimeoutExpired:
        return "", -signal.SIGKILL
    return done.stdout.decode(errors="replace"), done.returncode


def _in_split_process(path: Path, size: int, seconds: float) -> tuple[str, int]:
    """The same without the time that a new process needs to begin."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run_and_end(path, size, seconds, writer)
    os.close(writer)
    try:
        said, status = _outcome(child, reader, seconds)
    finally:
        os.close(reader)
    return said, os.waitstatus_to_exitcode(status)


def _size(path: Path) -> int:
    try:
        return bytes_of_files(path)
    except (UserError, OSError):
        return 0  # the trial says what is wrong


def _run_and_end(path: Path, size: int, seconds: float, writer: int) -> None:
    """What the child does; it never returns."""
    status = _REFUSED
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        _limit(size, seconds)
        model = (TextModel if format_of(path) == TEXT_FORMAT else AcousticModel)(path, threads=1)
        noise = np.random.default_rng(0).standard_normal(round(AUDIO_SECONDS * model.sample_rate))
        noise = (0.1 * noise).astype(np.float32)
        if isinstance(model, TextModel):
            model.write([noise], most=TOKENS)
        else:
            model.log_probs_of(noise)
        status = _WHOLE
    except UserError as error:
        os.write(writer, str(error).encode()[:8000])
    except MemoryError:
        os.write(writer, f"{path}: takes more memory than a model of its size can need".encode())
    except BaseException as error:
        os.write(writer, f"{path}: cannot be used ({type(error).__name__}: {one_line(error)[:300]})".encode())
    finally:
        os._exit(status)


def _limit(size: int, seconds: float) -> None:
    import resource

    limits = {resource.RLIMIT_CPU: int(seconds) + 1, resource.RLIMIT_CORE: 0}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY + MEMORY_OF_FILE * size
    except (OSError, ValueError, IndexError):  # not Linux
        pass
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _outcome(child: int, reader: int, seconds: float) -> tuple[str, int]:
    """What the child said, and how it ended; it is ended when its time is over."""
    said, deadline = b"", time.monotonic() + PATIENCE * seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            if select.select([reader], [], [], left)[0]:
                if not (piece := os.read(reader, 65536)):
                    break
                said += piece
        else:
            os.kill(child, signal.SIGKILL)
    except BaseException:  # Ctrl-C
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return said.decode(errors="replace"), os.waitpid(child, 0)[1]


def _ending(status: int) -> str:
    if status >= 0:
        return "it ended by itself"
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return "it took longer than a file of its size can need"
    return f"it ended with {signal.Signals(-status).name}"


if __name__ == "__main__":
    main()
