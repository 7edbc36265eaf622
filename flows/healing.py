"""Mend what ``flows/verification.py`` found damaged, so that all files are those that the stages made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from diminuendo.core.files import atomic_file
from diminuendo.provenance.dvc_cache import WHOLE
from flows.dvc_lock import Say, tell
from flows.verification import Output, Report, digests_of, share_copies

ATTEMPTS = 3
MOST_WORDS = 5  # sentences for an output
DAMAGED_STATUS = 74  # EX_IOERR
READ_ONLY = 0o444  # as DVC leaves the objects of its cache


def run_verified(run: Callable[[], int], verify: Callable[[bool], list[Report]], say: Say = tell) -> int:
    """Run the pipeline, verify, mend and run again; returns the exit status.

    It verifies after a failure too, because a stage refuses damaged input.

    Args:
        run: brings the pipeline up to date and returns its exit status.
        verify: receives whether that was 0, and returns the reports of the families.
        say: receives a sentence for each damaged file, and how much was verified.
    """
    for attempt in range(ATTEMPTS):
        status = run()
        reports = verify(status == 0)
        share_copies(reports)
        if not any(report.damages for report in reports):
            if not status:
                for report in reports:
                    say(str(report))
            return status
        for report in reports:
            describe(report, say)
        if attempt + 1 < ATTEMPTS:
            for report in reports:
                heal(report)
    say("error: files are damaged as soon as they are made; is the disk or the memory of this machine failing?")
    return DAMAGED_STATUS


def describe(report: Report, say: Say = tell) -> None:
    """A sentence for each damaged file."""
    for output in report.outputs:
        for damage in output.damages[:MOST_WORDS]:
            say(str(damage))
        if len(output.damages) > MOST_WORDS:
            say(f"{output.path}: and {len(output.damages) - MOST_WORDS} more")


def heal(report: Report) -> list[str]:
    """Replace damaged files by intact copies; remove outputs without one, so that DVC makes them again.

    DVC does not replace an object in its cache, and checks it out over the new output of a stage. So damaged objects of
    a damaged output are replaced by an intact copy, or removed as well. An intact object is never removed.

    Returns:
        The outputs that were removed, as ``dvc.lock`` writes them.
    """
    damaged = [output for output in report.outputs if output.damages]
    removed = [output for output in damaged if output.damages[0].remake]
    for output in damaged:  # before anything is removed: a file of one output may be the intact copy for another
        for damage in output.damages if output not in removed else ():
            _put(damage.source, damage.path)
        _mend_objects(output, report)
    for output in removed:
        _remove(output.path)
    return [output.entry.path for output in removed]


def _mend_objects(output: Output, report: Report) -> None:
    cache = report.cache
    whole = {damage.expected.md5: damage.source for damage in output.damages if isinstance(damage.source, Path)}
    for name, md5 in output.listing.items():
        path, digests = cache.object(md5), digests_of(cache.object(md5))
        is_bad_here = output.file(name) in {damage.path for damage in output.damages if damage.cached != WHOLE}
        if digests is not None and digests.md5 == md5 and not is_bad_here:
            continue
        source = report.copies.get(md5) or whole.get(md5)
        if source is not None:
            _put(source, path)
            path.chmod(READ_ONLY)
        else:
            path.unlink(missing_ok=True)
    list_of_files = cache.object(output.entry.md5)
    if list_of_files.exists() and cache.state(output.entry.md5) != WHOLE:
        list_of_files.unlink()


def _put(source: Path | bytes, path: Path) -> None:
    with atomic_file(path) as temporary:  # a new file: writing through a link would change the object in the cache
        if isinstance(source, bytes):
            temporary.write_bytes(source)
        else:
            shutil.copyfile(source, temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
