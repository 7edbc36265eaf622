"""Kaldi data directories: ``wav.scp``, ``text``, and where they are there ``segments``, ``utt2spk`` and more.

The format: https://kaldi-asr.org/doc/data_prep.html. Commands in ``wav.scp`` (``sox … |``) are never run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.importing.paths import Places
from diminuendo.importing.split_names import NONE, split_named
from diminuendo.importing.times import piece, seconds
from diminuendo.importing.utterance import Found, Request, Sound, Unusable, Utterance

PIPE = (
    "wav.scp has a command in place of a file, and none is ever run; run them once yourself, keep what they write as "
    "sound files, and name these in wav.scp"
)
_OF_SPEAKER = {"spk2gender": "gender", "spk2age": "age", "spk2accent": "accent"}
_PLAIN_DECODERS = {"flac": {"-c", "-d", "-s", "-cd", "-dc", "--stdout", "--decode", "--silent"}, "cat": set()}
_ABOVE = 4  # folders above a data directory from which its recipe may have been run


def read_kaldi(folder: Path, request: Request) -> Found:
    """The utterances of a data directory, or of those in a folder: ``train``, ``dev_clean``, ``eval92``, …

    Raises:
        UserError: there is no data directory.
    """
    if (folder / "wav.scp").is_file():
        yield from _data_directory(folder, None, request)
        return
    inside = sorted(path.parent for path in folder.glob("*/wav.scp"))
    if not inside:
        raise UserError(
            f"{folder}: no Kaldi data; expected wav.scp and text here, or in folders such as train, dev and test"
        )
    chosen = {path: split_named(path.name, request.splits) for path in inside}
    named = {path.name: split for path, split in chosen.items() if split in (path.name, request.splits.get(path.name))}
    for path, split in chosen.items():
        again = split in named.values() and path.name not in named  # train_sp, a copy of train that Kaldi made
        if split in (None, NONE) or again:
            why = f"{split} is there" if again else "it is none of train, dev and test"
            request.note(f"{path}: left out, {why}; --split {path.name}={split or 'train'} takes it")
            continue
        yield from _data_directory(path, split, request)


def _data_directory(folder: Path, split: str | None, request: Request) -> Found:
    if not (folder / "text").is_file():
        raise UserError(f"{folder / 'text'}: not there; it has the transcripts, one 'utterance-id words' a line")
    above = list(Path(folder).absolute().parents)[:_ABOVE]
    places = Places([Path(), folder, *above], request.root, absolute=True)
    recordings: dict[str, tuple[str, str]] = {}
    for found in _table(folder / "wav.scp"):
        if isinstance(found, Unusable):
            yield found
            continue
        place, key, rest = found
        recordings[key] = (place, rest)
    texts: dict[str, tuple[str, str]] = {}
    for found in _table(folder / "text"):
        if isinstance(found, Unusable):
            yield found
        else:
            texts[found[1]] = (found[0], found[2])
    speakers = _optional(folder / "utt2spk", request)
    facts = {key: _optional(folder / name, request) for name, key in _OF_SPEAKER.items()}
    languages = _optional(folder / "utt2lang", request)
    channels = _optional(folder / "reco2file_and_channel", request)
    if channels and (unsaid := [name for name in recordings if name not in channels]):
        request.note(
            f"{folder / 'reco2file_and_channel'}: does not name {len(unsaid)} recording(s), the first {unsaid[0]}; "
            "where they have several channels, these are averaged"
        )
    if speakers and all(utterance == speaker for utterance, speaker in speakers.items()):
        request.note(f"{folder / 'utt2spk'}: every utterance is a speaker of its own, so the speakers are unknown")
        speakers = {}
    for cut in _cuts(folder, recordings):
        if isinstance(cut, Unusable):
            yield cut
            continue
        place, key, recording, start, end, own = cut
        said = texts.pop(key, None)
        if said is None:
            yield Unusable("no transcript in text", key, place)
            continue
        try:
            offset, duration = piece(seconds(start, "start"), _end(seconds(end, "end")), None)
            path = places.find(_named_file(recordings[recording][1]))
            channel = _channel_of_segment(own) if own is not None else _channel(channels.get(recording))
        except Unusable as error:
            yield error.at(place)
            continue
        speaker = speakers.get(key)
        keys = {name: table[speaker] for name, table in facts.items() if speaker in table}
        if key in languages:
            keys["language"] = languages[key]
        sound = Sound(path, offset, duration, channel, cut_out=own is None)
        yield Utterance(place, sound, said[1], split, key, speaker, recording, keys)
    for key, (place, _) in texts.items():
        yield Unusable("a transcript without audio", key, place)


def _cuts(folder: Path, recordings: dict[str, tuple[str, str]]) -> Iterator:
    """(place, utterance, recording, start, end, channel) of each utterance; whole recordings without segments."""
    if not (folder / "segments").is_file():
        yield from ((place, key, key, None, None, None) for key, (place, _) in recordings.items())
        return
    for found in _table(folder / "segments"):
        if isinstance(found, Unusable):
            yield found
            continue
        place, key, rest = found
        parts = rest.split()
        if len(parts) not in (3, 4):
            reason = "a line of segments is not 'utterance recording start end', with a channel or without"
            yield Unusable(reason, f"{key} {rest}", place)
        elif parts[0] not in recordings:
            yield Unusable("a segment of a recording that wav.scp does not name", parts[0], place)
        else:
            yield place, key, *parts[:3], (parts[3] if len(parts) == 4 else None)


def _end(end: float | None) -> float | None:
    return None if end is None or end < 0 else end  # -1: up to the end of the recording


def _channel(said: str | None) -> int | None:
    """Index of the channel that ``recording file A`` of reco2file_and_channel means; None where it says nothing.

    Raises:
        Unusable: it is no letter from A and no number from 1.
    """
    if said is None:
        return None
    _, *words = said.split() or [""]
    name = words[0] if len(words) == 1 else ""
    if len(name) == 1 and "A" <= name.upper() <= "Z":
        return ord(name.upper()) - ord("A")
    if name.isascii() and name.isdigit() and int(name) > 0:
        return int(name) - 1
    raise Unusable("reco2file_and_channel says no channel: expected 'recording file A' (A, B, … or 1, 2, …)", said)


def _channel_of_segment(said: str) -> int:
    """Index of the channel in the fifth column of segments, which Kaldi counts from 0.

    Raises:
        Unusable: it is no such number.
    """
    if said.isascii() and said.isdigit():
        return int(said)
    raise Unusable("the channel in the fifth column of segments is not a whole number from 0", said)


def _named_file(value: str) -> str:
    """The file that an entry of wav.scp means.

    ``flac -c -d -s FILE |`` and ``cat FILE |`` only read one, which is named here.

    Raises:
        Unusable: it is another command, or part of an archive.
    """
    value = value.strip()
    if value.startswith("|"):
        raise Unusable(PIPE, value)
    if value.endswith("|"):
        try:
            command, *words = shlex.split(value[:-1])
        except ValueError:
            command, words = "", []
        known = _PLAIN_DECODERS.get(Path(command).name)
        files = [word for word in words if known is None or word not in known]
        if known is None or len(files) != 1 or files[0].startswith("-"):
            raise Unusable(PIPE, value)
        return files[0]
    head, colon, tail = value.rpartition(":")
    if colon and tail.isdigit() and head.endswith(".ark"):
        raise Unusable("wav.scp names a part of an archive; write it as sound files first (wav-copy --help)", value)
    return value


def _table(path: Path) -> Iterator[tuple[str, str, str] | Unusable]:
    """(place, key, rest) of each line."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    seen: set[str] = set()
    for number, raw in enumerate(lines, 1):
        place = f"{path}:{number}"
        try:
            line = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            yield Unusable("a line that is not UTF-8", ascii(raw[:60]), place)
            continue
        if not line:
            continue
        key, _, rest = line.replace("\t", " ", 1).partition(" ") if "\t" in line.split(" ")[0] else line.partition(" ")
        if key in seen:
            yield Unusable(f"a second line of one key in {path.name}", key, place)
            continue
        seen.add(key)
        yield place, key, rest.strip()


def _optional(path: Path, request: Request) -> dict[str, str]:
    """Key to value of a table that may be missing; lines that cannot be read say nothing, which is told."""
    found = list(_table(path)) if path.is_file() else []
    if unread := [line for line in found if isinstance(line, Unusable)]:
        request.note(f"{path}: {len(unread)} line(s) not used, the first: {unread[0]}")
    return {line[1]: line[2] for line in found if not isinstance(line, Unusable)}
