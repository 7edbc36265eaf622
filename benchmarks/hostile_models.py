"""``python -m benchmarks.hostile_models [--count N] [--seed N] [--model FILE …] [--out FILE]``: commands on bad files.

Real model files are changed in many ways (bytes, metadata, graph, ancestry; most of them sealed again, so that no
checksum tells), and ``transcribe``, ``trace``, ``verify``, ``profile`` and what ``gate`` reads are run on each, every
one in a process of its own. A traceback, an end by a signal and more than ten seconds of a processor are findings, and
the exit status is 1 if there is any. Each finding's file is kept, and its number with the same seed makes it again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.hostile_mutations import mutation
from diminuendo.bundled import MODEL

SECONDS = 10.0  # of a processor
PATIENCE = 6  # times as long by the clock: the machine may have other work
COMMANDS = ("transcribe", "trace", "verify", "profile", "gate")


def _gate(path: Path) -> None:
    """What the gate and the card read of a file before anything is measured."""
    from diminuendo.core.errors import UserError
    from diminuendo.gate.inputs import open_model
    from diminuendo.registry import card
    from diminuendo.runtime.trial import try_out

    try:
        try_out(path)
        file = open_model(path)
        card._chain(file)
        card._corpus(file.lineage)
        _ = file.teachers
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _outcome(command: str, path: Path, audio: Path, folder: Path) -> tuple[str, float]:
    """How a command ended (fine, traceback, hang, a signal's name), and after how many seconds of a processor."""
    err = folder / "stderr"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 70
        try:
            os.setsid()
            os.chdir(folder)
            with open(os.devnull, "w") as nothing, open(err, "w") as told:
                os.dup2(nothing.fileno(), 1)
                os.dup2(told.fileno(), 2)
            status = _run(command, path, audio)
        finally:
            os._exit(status)
    os.close(writer)
    over = not select.select([reader], [], [], PATIENCE * SECONDS)[0]
    os.close(reader)
    if over:
        os.killpg(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    took = used.ru_utime + used.ru_stime  # with those of its own children
    if over or took > SECONDS:
        return "hang", took
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name, took
    said = err.read_text(errors="replace")
    bad = "Traceback" in said or os.WEXITSTATUS(status) not in (0, 1, 2) or "\x1b" in said
    return (
        "traceback: " + said.strip().splitlines()[-1][:200] if bad and said.strip() else "no words" if bad else "fine"
    ), took


def _run(command: str, path: Path, audio: Path) -> int:
    import traceback

    from diminuendo.cli import main

    arguments = {
        "transcribe": ["transcribe", "--threads", "1", str(path), str(audio)],
        "profile": ["profile", "--runs", "1", "--seconds", "0.5", str(path)],
        "trace": ["trace", str(path)],
        "verify": ["verify", str(path)],
    }
    try:
        _gate(path) if command == "gate" else main(arguments[command], standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def sweep(
    models: list[Path], count: int, seed: int, kept: Path, commands: tuple[str, ...] = COMMANDS
) -> Iterator[dict[str, Any]]:
    """The outcome of each command on each of ``count`` files; files with a finding are left in ``kept``."""
    import onnxruntime  # noqa: F401  once, for all the processes

    import diminuendo.cli  # noqa: F401

    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        audio = work / "noise.wav"
        soundfile.write(audio, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
        for number in range(count):
            rng = random.Random(f"{seed}/{number}")
            path = work / "model.onnx"
            what = mutation(rng.choice(models), rng)(path)
            ended = {command: _outcome(command, path, audio, work) for command in commands}
            bad = {command: how for command, (how, _) in ended.items() if how != "fine"}
            if bad:
                os.replace(path, kept / f"{seed}-{number}.onnx")
            yield {"number": number, "what": what, "bad": bad, "seconds": max(took for _, took in ended.values())}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.hostile_models", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, action="append", help="real files to change; by default the bundled one")
    parser.add_argument("--kept", type=Path, default=Path(".work/hostile"), help="files with findings are left here")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="which of them, with commas between")
    parser.add_argument("--out", type=Path, help="write the outcome as JSON")
    options = parser.parse_args()
    commands = tuple(options.commands.split(","))
    found, kinds, slowest = [], Counter(), 0.0
    for one in sweep(options.model or [MODEL], options.count, options.seed, options.kept, commands):
        kinds[one["what"].split()[0].split(",")[0].split(".")[0]] += 1
        slowest = max(slowest, one["seconds"])
        if one["bad"]:
            found.append(one)
            print(f"{options.seed}/{one['number']}: {one['what']}: {one['bad']}", flush=True)
    print(
        f"{options.count} files, {len(commands)} commands each: {len(found)} findings, the slowest took {slowest:.1f} s"
    )
    if options.out:
        outcome = {"count": options.count, "seed": options.seed, "commands": commands, "findings": found}
        outcome |= {"slowest_seconds": round(slowest, 1), "kinds": dict(kinds)}
        options.out.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(int(bool(found)))


if __name__ == "__main__":
    main()
