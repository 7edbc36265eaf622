"""Do what the README says, in its order, in a fresh clone, and print how long each step took.

``python -m benchmarks.first_hour --csv FILE [--without 'make test' ...] [--into FOLDER]`` clones the checkout it is
started in, as committed. FILE is a table of recordings for the part on own data. MODEL is the member ``--model``.
``sign``, which asks for a key of one's own, and ``make demo`` are left out.
A command that serves (the demo, MLflow's page, the schedules) is given up as soon as it answers; the demo is asked for
the transcript of a sample first.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from markdown_it import MarkdownIt

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
SERVING = ("diminuendo demo", "make ui", "make serve")
# What stands in sentences of the README and is a step of its own; after which heading it belongs.
IN_SENTENCES = {
    "Look at the results": ("make ui", "make dag", "dvc metrics show"),
    "Trace, verify, reproduce": ("diminuendo gate", "make serve"),
}
COMMIT = "git add params.yaml dvc.lock && git commit --allow-empty -qm kept"
SAMPLE = "pi.flac"  # of the demo, in which a three is said
LONGEST_WAIT = 120.0  # seconds until a server answers


def steps(readme: str) -> Iterator[str]:
    """Commands of the README's blocks, and those of its sentences behind the blocks of the same part."""
    heading, pending = "", iter(())
    tokens = MarkdownIt("commonmark").parse(readme)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and token.tag == "h2":
            yield from pending
            heading = following.content
            if heading == "Trace, verify, reproduce":
                yield COMMIT
            pending = iter(IN_SENTENCES.get(heading, ()))
        elif token.type == "fence" and not token.info:
            for line in token.content.splitlines():
                command = line.partition("#")[0].strip()
                if command.startswith(("python3", "pip", "make", "diminuendo")):
                    yield command
    yield from pending


def in_environment(command: str) -> list[str]:
    return ["bash", "-c", f"[ ! -f .venv/bin/activate ] || . .venv/bin/activate; {command}"]


def surroundings() -> dict[str, str]:
    """Nothing of the environment in which this runs; PYTHONDONTWRITEBYTECODE would make every import cost double."""
    env = dict(os.environ)
    own = env.pop("VIRTUAL_ENV", None) or str(Path(sys.executable).parent.parent)
    env["PATH"] = os.pathsep.join(part for part in env["PATH"].split(os.pathsep) if not part.startswith(own))
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "DIMINUENDO_PARAMS", "MLFLOW_TRACKING_URI"):
        env.pop(name, None)
    for role in ("AUTHOR", "COMMITTER"):  # a user's git has a name
        env |= {f"GIT_{role}_NAME": "New User", f"GIT_{role}_EMAIL": "new.user@example.org"}
    return env


def finish(command: str, clone: Path, log: Path) -> int:
    with open(log, "a") as output:
        return subprocess.run(
            in_environment(command), cwd=clone, env=surroundings(), stdout=output, stderr=output, check=False
        ).returncode


def serve(command: str, clone: Path, log: Path) -> int:
    """Until it answers; then Ctrl-C, which has to end it."""
    before = log.stat().st_size if log.exists() else 0
    with open(log, "a") as output:
        process = subprocess.Popen(
            in_environment(f"exec {command}"),
            cwd=clone,
            env=surroundings(),
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
        )
    answered, end = False, time.monotonic() + LONGEST_WAIT
    while not answered and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
        told = ADDRESS.search(log.read_bytes()[before:].decode(errors="replace"))
        with suppress(OSError):
            if told:
                answered = ask(command, told[0])
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return 1
    return 0 if answered else 1


def ask(command: str, address: str) -> bool:
    """Whether the server answers as a user needs it to."""
    if command != "diminuendo demo":
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status == 200
    request = urllib.request.Request(f"{address}/api/sample/{SAMPLE}", data=b"", method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return b"three" in answer.read()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.first_hour", description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True, help="a table of recordings, for the part on own data")
    parser.add_argument("--model", default="slim-mixed", help="what MODEL stands for")
    parser.add_argument("--without", nargs="*", default=[], metavar="COMMAND", help="steps to leave out")
    parser.add_argument("--into", type=Path, help="keep the clone here; a temporary folder if left out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clone = given.into or Path(name) / "diminuendo"
        subprocess.run(["git", "clone", "-q", ".", str(clone)], check=True)
        log, failed = clone.with_suffix(".log"), []
        for step in steps((clone / "README.md").read_text(encoding="utf-8")):
            if step in given.without:
                continue
            command = step.replace("FILE", str(given.csv.resolve())).replace("MODEL", given.model)
            begin = time.monotonic()
            status = (serve if step in SERVING else finish)(command, clone, log)
            said = "" if status == 0 else f"   exit status {status}"
            print(f"{time.monotonic() - begin:8.1f} s   {step}{said}", flush=True)
            if status:
                failed.append(step)
    sys.exit(f"error: {len(failed)} steps failed; see {log}" if failed else 0)


if __name__ == "__main__":
    main()
