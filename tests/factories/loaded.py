"""Which modules of ours the stages of a pipeline really load, in every process that they start."""

from __future__ import annotations

from pathlib import Path

from diminuendo.artifact.code import LEFT_OUT

RECORDER = Path(__file__).with_name("loading")  # its sitecustomize.py is imported by every Python process


def recording(folder: Path, pythonpath: str = "") -> dict[str, str]:
    """Variables for a pipeline whose processes write into ``folder`` what they load."""
    folder.mkdir(exist_ok=True)
    return {"LOADED": str(folder), "PYTHONPATH": f"{RECORDER}:{pythonpath}".rstrip(":")}


def loaded_modules(folder: Path) -> dict[str, set[str]]:
    """Address of a stage, such as ``prune@slim``, to the names of all modules that a process below it loaded.

    Left out are processes whose own module is on the list of code that cannot change a number, such as the sender of
    tracking, which a stage starts and does not wait for.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            stage, name, command = line.split("\t")
            if stage and not any(f"-m {left_out}" in command for left_out in LEFT_OUT):
                found.setdefault(stage, set()).add(name)
    return found
