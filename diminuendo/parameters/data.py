"""The data that a parameter file names, looked at before anything runs: lines and paths, and no audio."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.data.manifest import Entry
from diminuendo.data.manifest_checks import check_speakers, check_texts, dotted_capitals
from diminuendo.data.manifest_splits import read_collected, read_splits
from diminuendo.data.prepared import SPLITS
from diminuendo.data.recordings import characters_of, check_vocabulary
from diminuendo.data.validation import Problems
from diminuendo.parameters.schema import Params
from diminuendo.raw.index import SPOKEN

SHOWN = 20  # problems of the data; prepare lists all of them


def check_data(params: Params) -> tuple[list[str], list[str]]:
    """What is wrong with the manifests that ``data`` names, and notes on what is only worth knowing.

    A folder that is not there is no matter of this: see ``surroundings``.
    """
    data, found, problems = params.data, Problems(), []
    splits: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    path, collected = Path(data.path), Path(data.collected)
    try:
        if data.source == "manifest" and path.is_dir():
            splits |= read_splits(path, params.text.lowercase, data.dev_fraction, params.seed, found, headers=False)
        elif data.source == "synthetic" and path.is_dir():
            missing = [name for name in SPOKEN if not (path / name).is_file()]
            problems += [f"data.path: {path / name} is missing, and data.source is synthetic" for name in missing]
        if collected.is_dir():
            more = read_collected(collected, params.text.lowercase, found, headers=False)
            splits |= {split: splits.get(split, []) + entries for split, entries in more.items()}
    except UserError as error:
        return [*problems, f"data.path: {error}"], []
    notes = []
    check_texts(splits, found)
    if (told := dotted_capitals(splits, params.text.lowercase)) is not None:
        notes.append(told)
    nameless, count = check_speakers(splits, found), sum(map(len, splits.values()))
    if nameless:
        notes.append(
            f"data.path: {nameless} of {count} utterances name no speaker, so whether train, dev and test have "
            "speakers in common cannot be checked for them"
        )
    if data.source == "manifest" and params.text.unknown == "error" and params.text.units != "checkpoint":
        check_vocabulary(splits, characters_of(splits["train"]), found)
    listed = found.all()
    problems += [str(problem) for problem in listed[:SHOWN]]
    if len(listed) > SHOWN:
        kinds = ", ".join(f"{n} × {kind}" for kind, n in Counter(problem.kind for problem in listed).most_common())
        problems.append(f"… and {len(listed) - SHOWN} more in the data: {kinds} in all")
    return problems, [*notes, *_missing_groups(params, splits["test"])]


def _missing_groups(params: Params, test: list[Entry]) -> list[str]:
    """Keys of ``evaluate.group_by`` that no utterance of test has."""
    there = sorted({key for entry in test for key in entry.keys})
    return [
        f"evaluate.group_by: no line of test has {key!r}, so there is nothing to score by it; "
        f"the keys there: {', '.join(there) or 'none'}"
        for key in params.evaluate.group_by
        if test and key not in there
    ]
