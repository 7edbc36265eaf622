"""DVC's locks, with patience: what a killed process left is put in order, and what a living one holds is waited for.

DVC keeps two (3.67, ``dvc/lock.py`` and ``dvc/rwlock.py``). ``.dvc/tmp/lock`` is a ``flock``: it ends with its process,
is free while a stage runs, and DVC gives up on it after three seconds. ``.dvc/tmp/rwlock`` is a file of JSON that says
which process reads and writes which path. A process that is killed leaves its entries there; DVC removes those of
process ids that are gone, but not those of zombies and of ids that another program has got since, and advises to remove
the file by hand.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from diminuendo.core.disk import disk_full
from diminuendo.core.files import write_text
from diminuendo.core.plain_text import echo
from diminuendo.family import STUDENTS

QUIET_SECONDS = 2.0  # what ends by then needs no words: a killed run's last moments, a sibling that writes dvc.lock
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_OF_EXEC = 1.0  # a process without a command line after that is none of ours
EMPTY = "'%s' is empty."  # DVC's warning of an output
MODULES_OF_DVC = ("__main__", "dvc_command")  # as the first word of a command: `python -m dvc`, and ours

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Holder:
    """A living process of this repository that DVC's ``rwlock`` names."""

    pid: int
    command: str

    def __str__(self) -> str:
        program, _, arguments = self.command.partition(" ")
        name = Path(program).stem
        name = "dvc" if name in MODULES_OF_DVC else name
        return f"`{f'{name} {arguments}'.strip()}` (process {self.pid})"


def tell(text: str) -> None:
    echo(text, err=True)


def repository(start: Path | None = None) -> Path | None:
    """The nearest folder from the working directory upwards that is a DVC repository."""
    start = (start or Path()).resolve()
    return next((folder for folder in (start, *start.parents) if (folder / ".dvc").is_dir()), None)


def dvc(arguments: list[str], say: Say = tell) -> int:
    """``dvc ARGUMENTS`` in this process; returns its exit status. What another process holds is waited for.

    A full disk is told in our words: DVC has none for it.
    """
    from dvc.cli import main

    from flows.lock_file import write_atomically

    write_atomically()

    def once() -> int:
        heard = _Heard()
        for handler in logging.getLogger("dvc").handlers:
            handler.addFilter(heard)
        try:
            status = main(arguments)
        finally:
            for handler in logging.getLogger("dvc").handlers:
                handler.removeFilter(heard)
        if status and heard.busy is not None:
            raise heard.busy
        if status and heard.full is not None:
            say(f"error: {heard.full}")
        return status

    return patiently(once, say, os.getppid())


def patiently(call: Callable[[], T], say: Say = tell, parent: int | None = None) -> T:
    """Call something that takes DVC's locks, again and again until no other process holds what it needs.

    Args:
        say: gets a sentence when that takes long.
        parent: whose children are waited for without a word: the pipeline runs several commands side by side.
    """
    from dvc.lock import LockError

    root = repository()
    if root is None:
        return call()
    be_patient(say)
    told: set[int] = set()
    while True:
        heal(root)
        try:
            return call()
        except Exception as error:
            cause = next((one for one in _causes(error) if isinstance(one, LockError)), None)
            if cause is None:
                raise
            pids = {int(pid) for pid in re.findall(r"\(PID (\d+)\)", str(cause))}
            _wait(root, lambda holder, pids=pids: holder.pid in pids, say, told, parent)
            time.sleep(SECONDS_BETWEEN_LOOKS)


def be_patient(say: Say = tell) -> None:
    """Let DVC's locks, in this process, wait as long as another holds them."""
    from dvc.lock import Lock

    Lock.lock = lambda lock: _acquire(lock, say)


def wait_for_others(say: Say = tell) -> None:
    """Return when no DVC is at work in this repository but those below this process."""
    root = repository()
    if root is not None:
        be_patient(say)
        heal(root)
        _wait(root, lambda holder: os.getpid() not in (holder.pid, *_above(holder.pid)), say, set())


def _wait(root: Path, concerns: Callable[[Holder], bool], say: Say, told: set[int], parent: int | None = None) -> None:
    """Until no living holder ``concerns`` us; a sentence for each, but for children of ``parent``."""
    begin = time.monotonic()
    while waiting := [holder for holder in living(root) if concerns(holder)]:
        for holder in waiting if time.monotonic() - begin > QUIET_SECONDS else []:
            if holder.pid not in told and parent not in _above(holder.pid):
                say(f"{holder} is at work in this repository; waiting for it")
            told.add(holder.pid)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _above(pid: int) -> list[int]:
    with suppress(psutil.NoSuchProcess):
        return [above.pid for above in psutil.Process(pid).parents()]
    return []


def heal(root: Path) -> None:
    """Remove the entries of processes that are no more from ``.dvc/tmp/rwlock``; a file cut short becomes an empty one.

    Under the lock that DVC itself takes for every edit of that file, and written atomically.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    if not path.exists():
        return
    with lock_of(root, "rwlock.lock"):
        content = _read(path)
        left = _without_the_dead(content or {}, root)
        if left != content:
            write_text(path, json.dumps(left))


def living(root: Path) -> list[Holder]:
    """Who holds paths of this repository by DVC's ``rwlock`` and is alive, in the order of the file."""
    content = _read(root / ".dvc" / "tmp" / "rwlock")
    while content is None:  # DVC writes in place: we looked in the midst of it, or somebody was killed there
        heal(root)
        content = _read(root / ".dvc" / "tmp" / "rwlock")
    found = {Holder(info["pid"], info["cmd"]) for _, _, info in _entries(content)}
    return sorted((one for one in found if _lives(one, root)), key=lambda one: one.pid)


def lock_of(root: Path, name: str = "lock") -> Any:
    """One of DVC's own locks, to hold with ``with``: that of ``dvc.lock`` and the cache, or ``rwlock.lock``."""
    from dvc.config import Config
    from dvc.lock import make_lock

    folder = root / ".dvc" / "tmp"
    folder.mkdir(exist_ok=True)
    is_hard = Config(str(root / ".dvc"), validate=False).get("core", {}).get("hardlink_lock", False)
    return make_lock(str(folder / name), tmp_dir=str(folder), hardlink_lock=str(is_hard).lower() == "true")


def _read(path: Path) -> dict[str, Any] | None:
    """The file as DVC accepts it; None where it does not."""
    from dvc.rwlock import SCHEMA
    from voluptuous import Invalid

    try:
        return SCHEMA(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, Invalid):
        return None


def _entries(content: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, info in content.get("write", {}).items():
        yield "write", path, info
    for path, infos in content.get("read", {}).items():
        yield from (("read", path, info) for info in infos)


def _without_the_dead(content: dict[str, Any], root: Path) -> dict[str, Any]:
    known: dict[Holder, bool] = {}
    left: dict[str, Any] = {"write": {}, "read": {}}
    for mode, path, info in _entries(content):
        holder = Holder(info["pid"], info["cmd"])
        if holder not in known:
            known[holder] = _lives(holder, root)
        if known[holder] and mode == "write":
            left["write"][path] = info
        elif known[holder]:
            left["read"].setdefault(path, []).append(info)
    return left


def _lives(holder: Holder, root: Path) -> bool:
    """Whether the process is there and is still the one that wrote the entry.

    Told by its command and its folder. Its time of birth says no more, since a younger process with the same command
    in this repository will hold the same paths, and says something wrong after the clock was set.
    """
    try:
        process = psutil.Process(holder.pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        if not _is_command(holder.command, _command_line(process)):
            return False
        folder = Path(process.cwd())
        return folder == root or root in folder.parents
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # somebody else's: not for us to call it dead
        return True


def _command_line(process: psutil.Process) -> list[str]:
    """Its words; a process that is just being started, in the midst of ``exec``, has none for a moment."""
    line, deadline = process.cmdline(), time.monotonic() + SECONDS_OF_EXEC
    while not line and time.monotonic() < deadline:
        time.sleep(SECONDS_OF_EXEC / 100)
        line = process.cmdline()
    return line


def _is_command(recorded: str, line: list[str]) -> bool:
    """Whether a process with this command line has ``recorded`` as its ``" ".join(sys.argv)``.

    The interpreter's own options come first, and where a module was run Python has put its path for its name.
    """
    whole = " ".join(line)
    if not whole or whole.endswith(recorded):
        return bool(whole)
    for end in [*(match.start() for match in re.finditer(" ", recorded)), len(recorded)]:
        program, arguments = Path(recorded[:end]), recorded[end:]
        start = whole.removesuffix(arguments)
        names = [program.parent.name if program.stem == "__main__" else program.stem, program.name]
        if whole.endswith(arguments) and (start.endswith(tuple(filter(None, names))) or (names[0] == "-c" in line)):
            return True
    return False


def _acquire(lock: Any, say: Say) -> None:
    """In place of DVC's, which gives up after three seconds: with hours of training done, if a sibling writes long."""
    from dvc.lock import LockError

    begin, told = time.monotonic(), False
    while True:
        try:
            return lock._do_lock()
        except LockError:
            if not told and time.monotonic() - begin > 5 * QUIET_SECONDS:
                told = True
                say(f"process {_owner(lock.lockfile)} holds {Path(lock.lockfile).name} of DVC; waiting for it")
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _owner(lockfile: str) -> str:
    with suppress(OSError):
        return Path(lockfile).read_text().strip() or "unknown"
    return "unknown"


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


class _Heard(logging.Filter):
    """Keeps DVC's words to itself about a lock, which is no error here, and about a full disk, which we tell.

    So it does of a family without students that the folder of what each begins with is empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy: BaseException | None = None
        self.full: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        from dvc.lock import LockError

        said = [record.exc_info[1]] if record.exc_info else []
        said += [one for one in record.args if isinstance(one, BaseException)] if isinstance(record.args, tuple) else []
        said = [error for error in said if error is not None]
        busy = next((one for error in said for one in _causes(error) if isinstance(one, LockError)), None)
        full = next((told for error in said if (told := disk_full(error, Path())) is not None), None)
        self.busy, self.full = busy or self.busy, full or self.full
        unasked = record.msg == EMPTY and Path(str(record.args[0])).name == STUDENTS
        return busy is None and full is None and not unasked
