"""Records that cannot be used, with the reasons: ``<quarantine>/<batch>/records/``.

``manifest.jsonl`` holds the original lines and the audio is where they say, so the folder can be used as a batch once
it is corrected. ``problems.jsonl`` and ``report.md`` say what is wrong with each line.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

from diminuendo.collection.batches import MANIFEST, RECORDS, place_in
from diminuendo.collection.check import Checked
from diminuendo.collection.plain_files import why_not_plain
from diminuendo.core.files import fresh_folder, write_json, write_text
from diminuendo.core.plain_text import in_markdown


def put_in_quarantine(checked: Checked, quarantine: Path) -> Path | None:
    """Keep the bad records of a batch; returns their folder, or None if all are good."""
    if not checked.bad:
        return None
    target = place_in(quarantine, checked.batch, RECORDS)
    raw = checked.batch.manifest.read_bytes().split(b"\n")
    kept = [number for number in checked.bad_lines if number]
    with fresh_folder(target) as folder:
        (folder / MANIFEST).write_bytes(b"".join(raw[number - 1] + b"\n" for number in kept))
        with open(folder / "problems.jsonl", "w", encoding="utf-8") as file:
            for problem in checked.bad:
                here = kept.index(problem.line) + 1 if problem.line else 0
                line = {"line": problem.line, "line_here": here, "kind": problem.kind, "message": problem.message}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        for number in kept:
            _copy_audio(raw[number - 1], checked.batch.folder, folder)
        write_text(folder / "report.md", report(checked))
        write_json(folder / "batch.json", {"name": checked.batch.name, "manifest": checked.batch.digest})
    return target


def report(checked: Checked) -> str:
    """The problems of a batch as Markdown."""
    bad = len(checked.bad_lines)
    counts = Counter(problem.kind for problem in checked.bad)
    rows = "".join(f"| {kind} | {count} |\n" for kind, count in counts.most_common())
    lines = "".join(
        f"- line {p.line}: {in_markdown(p.message)}\n" if p.line else f"- {in_markdown(p.message)}\n"
        for p in checked.bad
    )
    return (
        f"# {checked.batch.name}\n\n{bad} of {bad + len(checked.good)} records cannot be used "
        f"({100 * checked.share_bad:.0f} %).\n\n| problem | records |\n|---|---:|\n{rows}\n"
        f"Lines are those of the batch's `{MANIFEST}`. Here the same lines stand in this order; once they are "
        f"corrected, move this folder to the incoming folder under a new name.\n\n{lines}"
    )


def _copy_audio(raw: bytes, source: Path, target: Path) -> None:
    try:
        name = json.loads(raw.decode("utf-8-sig"))["audio_filepath"]
        path = source / name
        if why_not_plain(path, source) is None:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    except (ValueError, RecursionError, KeyError, TypeError, OSError):
        return  # the problem is that the line names no file
