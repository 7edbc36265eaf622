"""Recordings: check the user's manifests and audio, and resample them into a prepared corpus."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import TypeVar

from diminuendo.data.loading import Loaded, Remarks, load_recording
from diminuendo.data.manifest import MAY_BE_EMPTY, Entry
from diminuendo.data.manifest_checks import CONTRADICTION, check_speakers, contradiction, dotted_capitals
from diminuendo.data.manifest_splits import read_collected, read_splits
from diminuendo.data.prepared import SPLITS, UNLABELLED, ShardWriter
from diminuendo.data.settings import REFRESH_SECONDS, CorpusSettings
from diminuendo.data.sources import COLLECTED, SOURCE, Sources
from diminuendo.data.text import Tokenizer, describe_characters
from diminuendo.data.unknown import UnknownCharacters
from diminuendo.data.validation import Problems

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def read_recordings(
    settings: CorpusSettings,
    writers: dict[str, ShardWriter],
    sources: Sources,
    workers: int,
    say: Callable[[str], None],
    report: Path,
) -> None:
    """Add the manifests of ``data.path`` (where it names manifests) and of ``data.collected`` to the writers.

    Raises:
        UserError: everything that is wrong, see ``Problems``.
    """
    from tqdm import tqdm

    problems = Problems()
    folders = {SOURCE: Path(settings.data.path), COLLECTED: Path(settings.data.collected)}
    splits = _all_splits(settings, folders, problems)
    if not any(splits.values()) and not len(problems):
        return  # everything is synthetic, and nothing is collected yet
    if (told := dotted_capitals(splits, settings.text.lowercase)) is not None:
        say(f"warning: {told}")
    nameless = check_speakers(splits, problems)
    if nameless:
        say(
            f"warning: {nameless} utterance(s) name no speaker: whether train, dev and test have speakers "
            "in common cannot be checked for them; only that no recording is in two splits"
        )
    how = settings.text.unknown
    unknown = UnknownCharacters(how) if how != "error" else None
    if settings.foreign is not None:
        if unknown is not None:
            unknown.settle(splits, settings.foreign.unknown_characters, problems)
        to_check = splits if unknown is None else {"train": splits["train"]}
        _check_foreign_vocabulary(to_check, settings.foreign, problems)
        problems.stop(report)  # nothing can be measured in tokens that do not write the text
    kept, reasons = _kept_for_training(splits["train"], settings, say, splits)
    splits["train"] = kept
    for reason in reasons:
        writers["train"].drop(reason)
    splits[UNLABELLED], reasons = _within_limits(splits[UNLABELLED], settings)
    for reason in reasons:
        writers[UNLABELLED].drop(reason)
    if settings.text.units != "checkpoint":  # whose tokens are not learned from train
        known = characters_of(splits["train"], [line["text"] for line in writers["train"].lines])
        if unknown is None:
            check_vocabulary(splits, known, problems)
        elif known:
            unknown.settle(splits, lambda text: set(text) - known, problems)
    if unknown is not None:
        unknown.tell(say, writers["test"].folder)
    todo = [(split, entry) for split, entries in splits.items() for entry in entries]
    heard: dict[bytes, tuple[str, Entry]] = {}

    remarks = Remarks()

    def decode(item: tuple[str, Entry]) -> Loaded | tuple[str, str]:
        split, entry = item
        nobody_speaks = split in MAY_BE_EMPTY and not entry.text
        loaded = load_recording(entry, settings.data.sample_rate, may_be_silent=nobody_speaks)
        if not isinstance(loaded, tuple):
            parameter = next(key for key, folder in folders.items() if Path(entry.file).parent == folder)
            sources.add(parameter, folders[parameter], Path(entry.file))
            sources.add(parameter, folders[parameter], entry.path)
        return loaded

    with tqdm(total=len(todo), unit="utt", desc="reading", mininterval=REFRESH_SECONDS) as bar:
        for (split, entry), loaded in zip(todo, in_order(decode, todo, workers)):
            bar.update()
            if isinstance(loaded, tuple):
                problems.add(entry.file, entry.line, *loaded)
                continue
            remarks.add(entry, loaded.remarks)
            digest = hashlib.sha256(loaded.samples.tobytes()).digest()
            other_split, other = heard.setdefault(digest, (split, entry))
            if split == UNLABELLED and other_split == "train":
                writers[split].drop("the audio of a train utterance")
                continue
            if other_split != split:
                problems.add(
                    entry.file,
                    entry.line,
                    "audio in two splits",
                    f"{entry.path} is the same audio as {other.path} in {other_split} ({other.file}:{other.line})",
                )
            elif split != UNLABELLED and other.text != entry.text:
                problems.add(entry.file, entry.line, CONTRADICTION, contradiction(entry, other))
            if not len(problems):  # otherwise nothing will be kept, and only the checks continue
                said = {} if split == UNLABELLED else {"text": entry.text}
                writers[split].add({"id": entry.id, **said, **entry.keys}, loaded.samples)
    problems.stop(report)
    remarks.tell(say)


def _all_splits(settings: CorpusSettings, folders: dict[str, Path], problems: Problems) -> dict[str, list[Entry]]:
    """The manifests of the source, then those that are collected."""
    data, lowercase = settings.data, settings.text.lowercase
    splits: dict[str, list[Entry]] = {split: [] for split in (*SPLITS, UNLABELLED)}
    if data.source == "manifest":
        splits |= read_splits(folders[SOURCE], lowercase, data.dev_fraction, settings.seed, problems)
    for split, entries in read_collected(folders[COLLECTED], lowercase, problems).items():
        first_with_id = {entry.id: entry for entry in splits[split]}
        for entry in entries:
            if (first := first_with_id.get(entry.id)) is not None:
                place = f"{first.file}:{first.line}"
                problems.add(entry.file, entry.line, "duplicate id", f"id {entry.id!r} is that of {place} too")
        splits[split] = splits[split] + entries
    return splits


def in_order(function: Callable[[_In], _Out], items: Iterable[_In], workers: int) -> Iterator[_Out]:
    """``map`` by threads, a bounded number of items ahead. Threads suffice: decoding releases Python's lock."""
    items = iter(items)
    with ThreadPoolExecutor(workers) as threads:
        ahead: list[Future] = [threads.submit(function, item) for item in islice(items, 8 * workers)]
        try:
            while ahead:
                result = ahead.pop(0).result()
                ahead += [threads.submit(function, item) for item in islice(items, 1)]
                yield result
        finally:
            for future in ahead:
                future.cancel()


def _kept_for_training(
    train: list[Entry], settings: CorpusSettings, say: Callable[[str], None], splits: dict[str, list[Entry]]
) -> tuple[list[Entry], list[str]]:
    """Train entries within the limits and long enough for their text, and a reason for each of the others."""
    kept, reasons = _within_limits(train, settings)
    if not kept:
        return kept, reasons
    tokenizer = settings.foreign or settings.tokenizer_of([e.text for e in kept])  # the teacher's, as the frames are
    frame = settings.frame_seconds
    long_enough = [e for e in kept if ctc_frames(tokenizer, e.text) <= math.ceil(e.duration / frame)]
    reasons += ["too short for its text at the teacher's frame rate"] * (len(kept) - len(long_enough))
    for split in ("dev", "test"):
        readable = (e for e in splits[split] if not tokenizer.unknown_characters(e.text))
        hurried = [e for e in readable if ctc_frames(tokenizer, e.text) > math.ceil(e.duration / frame)]
        if hurried:
            first = f"{hurried[0].file}:{hurried[0].line}"
            say(
                f"warning: {len(hurried)} utterance(s) of {split} are too short for their text at the teacher's "
                f"frame rate, from {first} on; no model can get them right"
            )
    return long_enough, reasons


def _within_limits(entries: list[Entry], settings: CorpusSettings) -> tuple[list[Entry], list[str]]:
    """Those neither too short nor too long, and a reason for each of the others."""
    kept: list[Entry] = []
    reasons: list[str] = []
    for entry in entries:
        if entry.duration < settings.data.min_seconds:
            reasons.append("shorter than data.min_seconds")
        elif entry.duration > settings.data.max_seconds:
            reasons.append("longer than data.max_seconds")
        else:
            kept.append(entry)
    return kept, reasons


def ctc_frames(tokenizer: Tokenizer, text: str) -> int:
    """The fewest frames that CTC needs: one for each token, and a blank between two equal ones (Graves et al. 2006)."""
    ids = tokenizer.encode(text)
    return len(ids) + sum(a == b for a, b in pairwise(ids))


def _check_foreign_vocabulary(splits: dict[str, list[Entry]], tokenizer: Tokenizer, problems: Problems) -> None:
    """Report texts with characters that the checkpoint cannot write."""
    for entries in splits.values():
        for entry in entries:
            if unknown := tokenizer.unknown_characters(entry.text):
                problems.add(
                    entry.file,
                    entry.line,
                    "outside the vocabulary",
                    f"text {entry.text[:60]!r}: {describe_characters(unknown)} not in the checkpoint's vocabulary; "
                    "normalise such text away, or give teacher.head: ctc for a vocabulary of your own",
                )


def characters_of(train: list[Entry], spoken: Iterable[str] = ()) -> set[str]:
    """Every character that a text of train has; ``spoken``: texts of train beside these."""
    return set().union(*spoken, *(entry.text for entry in train))


def check_vocabulary(splits: dict[str, list[Entry]], known: set[str], problems: Problems) -> None:
    """Report texts of dev and test with characters in no text of train."""
    if not known:
        return
    for split in ("dev", "test"):
        for entry in splits[split]:
            if unknown := sorted(set(entry.text) - known - {" "}):
                problems.add(
                    entry.file,
                    entry.line,
                    "outside the vocabulary",
                    f"text {entry.text[:60]!r}: {describe_characters(unknown)} not in any text of train, "
                    "so no model can write it; text.unknown: replace or drop goes on without it",
                )
