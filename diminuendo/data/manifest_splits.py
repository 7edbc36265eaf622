"""The manifests of a folder: train, dev and test, and audio without transcripts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.data.manifest import Entry, read_split
from diminuendo.data.prepared import SPLITS, UNLABELLED
from diminuendo.data.validation import Problems

_TO_DO_WITHOUT_ANY = (
    "`diminuendo import` writes them from recordings with transcripts, or from a corpus of another format"
)
_TO_DO_WITHOUT_SOME = "Move the lines of some speakers of train.jsonl to the missing files"


def read_splits(
    folder: Path, lowercase: bool | str, dev_fraction: float | None, seed: int, problems: Problems, headers: bool = True
) -> dict[str, list[Entry]]:
    """Train, dev and test of a folder, and unlabelled if it is there; for ``headers`` see ``read_split``.

    Raises:
        UserError: the folder or one of the three files is missing, and dev cannot be split off either.
    """
    if not folder.is_dir():
        raise UserError(
            f"data.path: there is no folder {folder}; expected one with train.jsonl, dev.jsonl and test.jsonl"
        )
    missing = [split for split in SPLITS if not (folder / f"{split}.jsonl").is_file()]
    carve = dev_fraction is not None
    if carve and "dev" not in missing:
        raise UserError(f"{folder / 'dev.jsonl'} is there and data.dev_fraction is set: remove one of the two")
    if lacking := [split for split in missing if not (carve and split == "dev")]:
        names = ", ".join(f"{split}.jsonl" for split in lacking)
        hint = "; or set data.dev_fraction, e.g. 0.1, to split dev off train by speaker" if "dev" in lacking else ""
        raise UserError(
            f"{folder}: {names} missing; a corpus needs train.jsonl, dev.jsonl and test.jsonl, each with speakers of "
            f"its own. {_TO_DO_WITHOUT_ANY if len(missing) == len(SPLITS) else _TO_DO_WITHOUT_SOME + hint}"
        )
    splits = {
        split: read_split(folder / f"{split}.jsonl", split, lowercase, problems, headers)
        for split in SPLITS
        if split not in missing
    }
    if carve:
        splits["train"], splits["dev"] = split_off_dev(splits["train"], dev_fraction, seed)
    found = {split: splits[split] for split in SPLITS}
    if (path := folder / f"{UNLABELLED}.jsonl").is_file():
        found[UNLABELLED] = read_split(path, UNLABELLED, lowercase, problems, headers)
    return found


def read_collected(
    folder: Path, lowercase: bool | str, problems: Problems, headers: bool = True
) -> dict[str, list[Entry]]:
    """Those of the four manifests that are in a folder; generated ids differ from those of the source.

    For ``headers`` see ``read_split``.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(
            f"data.collected: there is no folder {folder}; expected one with any of train.jsonl, dev.jsonl and "
            "test.jsonl, or without them; if DVC tracks it, run `dvc checkout`"
        )
    found = {}
    for split in (*SPLITS, UNLABELLED):
        if (path := folder / f"{split}.jsonl").is_file():
            entries = read_split(path, split, lowercase, problems, headers)
            found[split] = [
                replace(e, id=f"collected-{e.id}") if e.id == f"{split}-{e.line:06d}" else e for e in entries
            ]
    return found


def split_off_dev(train: list[Entry], fraction: float, seed: int) -> tuple[list[Entry], list[Entry]]:
    """Train and dev: whole speakers, in an order drawn from the seed, until dev has ``fraction`` of the utterances.

    Utterances without a speaker count as speakers of their own.
    """
    if not train:
        return train, []

    def owner(entry: Entry) -> str:
        return f"speaker {entry.speaker}" if entry.speaker is not None else f"utterance {entry.id}"

    order = sorted({owner(e) for e in train}, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    if len(order) < 2:
        raise UserError(
            f"{train[0].file}: data.dev_fraction needs two speakers or more in train, found {order[0]!r} only"
        )
    sizes: dict[str, int] = {}
    for entry in train:
        sizes[owner(entry)] = sizes.get(owner(entry), 0) + 1
    chosen: set[str] = set()
    count = 0
    for name in order[:-1]:
        if count >= fraction * len(train):
            break
        chosen.add(name)
        count += sizes[name]
    dev = [
        replace(e, id=e.id.replace("train-", "dev-", 1) if e.id == f"train-{e.line:06d}" else e.id)
        for e in train
        if owner(e) in chosen
    ]
    return [e for e in train if owner(e) not in chosen], dev
