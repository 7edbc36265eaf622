"""Train, dev and test where the source does not divide its utterances, or not into all three."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import SPLITS

_FEWEST = 3  # owners, so that each split has one of its own


@dataclass(frozen=True)
class Owned:
    """What decides on the split of an utterance: ``split`` is the source's."""

    split: str | None
    speaker: str | None
    recording: str


@dataclass(frozen=True)
class Division:
    """``splits``: of each utterance; ``by_speaker``: False where a speaker may be in two; ``told``: sentences."""

    splits: list[str]
    by_speaker: bool
    told: list[str]


def divide(owned: Sequence[Owned], dev: float, test: float, again: bool) -> Division:
    """The split of every utterance.

    Splits of the source are kept. What is missing is taken from train: whole speakers, in an order that follows from a
    digest of their names alone, until dev or test has its share of the utterances. Without names whole recordings move.

    Args:
        dev, test: shares of the utterances that are divided.
        again: forget the splits of the source.
    Raises:
        UserError: a speaker is in two splits of the source, or there is nothing to divide.
    """
    given = [None if again else one.split for one in owned]
    if not any(given):
        splits, by_speaker, told = _drawn(owned, {"test": test, "dev": dev})
        beginning = "the splits of the source were set aside" if again else "the source has no splits"
        return Division(splits, by_speaker, [f"{beginning}: {told}"])
    splits = [split or "train" for split in given]
    told = ["the splits of the source were kept"]
    if unsaid := given.count(None):
        told.append(f"{unsaid} utterance(s) of no split went to train")
    if "train" not in splits:
        named = ", ".join(sorted(set(splits)))
        raise UserError(f"the source has {named} and no train; give its train as well, or --resplit to divide it anew")
    if shared := _in_two_splits(owned, splits):
        speaker, where = next(iter(sorted(shared.items())))
        raise UserError(
            f"{len(shared)} speaker(s) are in two splits of the source, {speaker!r} in {' and '.join(sorted(where))}: "
            "what is measured on people who were trained on says nothing of others. --resplit makes new splits"
        )
    missing = {split: share for split, share in (("test", test), ("dev", dev)) if split not in splits}
    if missing:
        at = [index for index, split in enumerate(splits) if split == "train"]
        drawn, by_speaker, how = _drawn([owned[index] for index in at], missing)
        for index, split in zip(at, drawn):
            splits[index] = split
        told.append(f"{' and '.join(missing)} {'was' if len(missing) == 1 else 'were'} taken from train: {how}")
        return Division(splits, by_speaker, told)
    return Division(splits, True, told)


def _drawn(owned: Sequence[Owned], shares: dict[str, float]) -> tuple[list[str], bool, str]:
    """The split of each, whether speakers are apart, and how it was done."""
    speakers = {one.speaker for one in owned if one.speaker is not None}
    nameless = sum(one.speaker is None for one in owned)
    by_speaker = len(speakers) >= _FEWEST or (not speakers and bool(nameless))
    owners = [_owner(one, by_speaker) for one in owned]
    how = f"divided by a digest of the {len(speakers)} speakers' names, each in one split"
    if len(speakers) < _FEWEST:
        if len(set(owners)) < _FEWEST:  # a few long recordings
            owners = [f"utterance {index}" for index in range(len(owned))]
        several = len(set(owners)) < len(owned)
        who = "the speakers are unknown" if not speakers else f"there are {len(speakers)} speaker(s) only"
        by = "by whole recordings" if several else "by utterance"
        how = f"{who}, so it was divided {by}: train, dev and test may share voices, and test flatters the models"
    elif nameless:
        how += f"; {nameless} utterance(s) name no speaker and were divided by recording: they may share voices"
    if len(set(owners)) < _FEWEST:
        raise UserError(f"{len(owned)} utterance(s) are too few to divide; train, dev and test need one each")
    chosen = choose(owners, shares)
    return [chosen.get(owner, "train") for owner in owners], by_speaker, how


def _owner(one: Owned, by_speaker: bool) -> str:
    return f"speaker {one.speaker}" if by_speaker and one.speaker is not None else f"recording {one.recording}"


def choose(owners: Sequence[str], shares: dict[str, float]) -> dict[str, str]:
    """Owner to split, of those that leave train.

    Owners come in the order of their digests. One whose utterances would overshoot the share by a quarter is passed
    over; if that leaves a split empty, it gets the smallest owner. The last owner stays in train.
    """
    sizes = Counter(owners)
    order = sorted(sizes, key=lambda owner: hashlib.sha256(owner.encode("utf-8", "surrogatepass")).digest())
    chosen: dict[str, str] = {}
    for place, (split, share) in enumerate(shares.items()):
        wanted, count, later = share * len(owners), 0, len(shares) - place - 1
        for owner in order:
            if count >= wanted or len(order) - len(chosen) <= 1 + later:
                break
            if owner not in chosen and count + sizes[owner] <= 1.25 * wanted:
                chosen[owner] = split
                count += sizes[owner]
        if not count:
            free = [owner for owner in order if owner not in chosen]
            chosen[min(free, key=lambda owner: sizes[owner])] = split  # of equals the first by digest
    return chosen


def _in_two_splits(owned: Sequence[Owned], splits: Sequence[str]) -> dict[str, set[str]]:
    where: dict[str, set[str]] = defaultdict(set)
    for one, split in zip(owned, splits):
        if one.speaker is not None:
            where[one.speaker].add(split)
    return {speaker: found for speaker, found in where.items() if len(found) > 1}


def in_order_of_splits(splits: Sequence[str]) -> list[str]:
    """Those that occur, train first."""
    return [split for split in SPLITS if split in splits]
