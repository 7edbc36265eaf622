"""Which records of a batch can be used: the checks of ``prepare``, and those for new recordings only."""

from __future__ import annotations

from dataclasses import dataclass

from diminuendo.collection.batches import Batch
from diminuendo.collection.known import Known, digest_of_samples, split_of
from diminuendo.collection.plain_files import why_not_plain, why_too_long
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line
from diminuendo.data.loading import Loaded, load_recording
from diminuendo.data.manifest import Entry, read_split
from diminuendo.data.recordings import in_order
from diminuendo.data.text import describe_characters
from diminuendo.data.validation import Problem, Problems
from diminuendo.parameters.schema import Params


@dataclass(frozen=True)
class Record:
    """A record that can be used: its split and the SHA-256 of its samples."""

    entry: Entry
    split: str
    samples: str


@dataclass(frozen=True)
class Checked:
    """A batch after the checks; every line that is not empty is in one of the two."""

    batch: Batch
    good: tuple[Record, ...]
    bad: tuple[Problem, ...]

    @property
    def bad_lines(self) -> list[int]:
        return sorted({problem.line for problem in self.bad})

    @property
    def share_bad(self) -> float:
        """Share of bad records among all; 1 if there are none."""
        bad = len(self.bad_lines)
        return bad / (bad + len(self.good)) if bad + len(self.good) else 1.0


def check_batch(batch: Batch, params: Params, known: Known, workers: int | None = None) -> Checked:
    """Check every record; those that can be used are added to ``known``.

    Raises:
        UserError: params.yaml has no section ``retrain``.
    """
    settings = params.retrain
    if settings is None:
        raise UserError("params.yaml: retrain: missing, and collecting needs its fractions; see docs/retraining.md")
    problems = Problems()
    try:
        entries = read_split(batch.manifest, batch.name, params.text.lowercase, problems)
    except UserError as error:
        problems.add(batch.manifest, 0, "unreadable manifest", str(error))
        entries = []
    inside = []
    for entry in entries:
        if (reason := why_not_plain(entry.path, batch.folder)) is None:
            inside.append(entry)
        else:
            kind = "outside the batch" if "outside" in reason else "no plain file"
            problems.add(entry.file, entry.line, kind, f"audio_filepath: {entry.path} is {reason}")
    heard: list[Record] = []
    rate = params.data.sample_rate
    loaded = in_order(lambda entry: _loaded(entry, rate), inside, workers or available_cores())
    for entry, found in zip(inside, loaded):
        if isinstance(found, tuple):
            problems.add(entry.file, entry.line, *found)
            continue
        digest = digest_of_samples(found.samples)
        if (where := known.recordings.get(digest)) is not None:
            problems.add(entry.file, entry.line, "known already", f"{entry.path.name}: the same audio as {where}")
            continue
        split = split_of(entry.speaker, known, settings.dev_fraction, settings.test_fraction, params.seed)
        if split == "train" and (reason := _beyond_limits(entry, params)):
            problems.add(entry.file, entry.line, "beyond the limits", reason)
            continue
        known.recordings[digest] = f"line {entry.line} of {batch.name}"
        heard.append(Record(entry, split, digest))
    known.characters |= {c for record in heard if record.split == "train" for c in record.entry.text}
    good = []
    for record in heard:
        entry = record.entry
        settled = record.split != "train" and params.text.unknown != "error"  # by `prepare`
        if (strange := known.strange_to(entry.text, record.split)) and not settled:
            of_split = f"in no text of train, and {entry.speaker} is of {record.split}"
            foreign = known.foreign is not None and known.foreign.unknown_characters(entry.text)
            reason = "not in the checkpoint's vocabulary" if foreign else of_split
            problems.add(
                entry.file, entry.line, "outside the vocabulary", f"text: {describe_characters(strange)} {reason}"
            )
            continue
        if entry.speaker is not None:
            known.speakers[entry.speaker] = record.split
        good.append(record)
    return Checked(batch, tuple(good), problems.all())


def _loaded(entry: Entry, rate: int) -> Loaded | tuple[str, str]:
    """``load_recording``, for a file that may have been made to do harm."""
    if (reason := why_too_long(entry.path)) is not None:
        return "too long", f"{entry.path}: {reason}"
    try:
        return load_recording(entry, rate)
    except Exception as error:  # whatever a decoder stumbles over: it is this record's fault, and the others go on
        return "not audio", f"{entry.path}: cannot be decoded ({type(error).__name__}: {one_line(error)[:200]})"


def _beyond_limits(entry: Entry, params: Params) -> str | None:
    if entry.duration < params.data.min_seconds:
        return f"duration: {entry.duration:g} s is shorter than data.min_seconds ({params.data.min_seconds:g})"
    if entry.duration > params.data.max_seconds:
        return f"duration: {entry.duration:g} s is longer than data.max_seconds ({params.data.max_seconds:g})"
    return None
