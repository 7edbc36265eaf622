"""Folders of recordings with their transcripts beside them.

Two layouts: LibriSpeech's (``84/121123/84-121123.trans.txt`` with a line for each recording of the folder, the speaker
first in its name), and a file for each recording (``hello.wav`` and ``hello.txt`` or ``hello.lab``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.importing.paths import AUDIO_SUFFIXES, check_name, check_plain
from diminuendo.importing.rows import speaker_in
from diminuendo.importing.split_names import NONE, split_named
from diminuendo.importing.utterance import Found, Request, Sound, Unusable, Utterance

TRANSCRIPTS = ".trans.txt"
BESIDE = (".normalized.txt", ".txt", ".lab")  # of LibriTTS the second is the text as it was printed
_LIBRISPEECH = re.compile(r"(?P<speaker>[^-]+)-[^-]+\.trans\.txt")
_UNREADABLE = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr", ".mka", ".m4b", ".3gp", ".ape", ".wv", ".tta", ".voc")
_NO_TRANSCRIPTS = {  # what corpora say of themselves in a .txt
    "readme", "license", "licence", "copying", "copyright", "speakers", "chapters", "books", "changelog", "changes",
    "notice", "citation", "about", "info", "requirements",
}  # fmt: skip


def read_folder(folder: Path, request: Request) -> Found:
    """The recordings in a folder and below, in the order of their names.

    Folders directly inside that are called like splits (``train-clean-100``, ``dev``, ``test``) divide them.

    Raises:
        UserError: there is no recording.
    """
    genders = _genders(folder / "SPEAKERS.TXT")
    inside = [entry.name for entry in sorted(folder.iterdir()) if entry.is_dir()]
    splits = {name: split_named(name, request.splits) for name in inside}
    divided = "train" in splits.values()
    heard = lonely = 0
    for here, names in _walk(folder):
        top = here.relative_to(folder).parts[:1]
        split = splits.get(top[0]) if divided and top else None
        recordings = [name for name in names if name.lower().endswith((*AUDIO_SUFFIXES, *_UNREADABLE))]
        alone = _without_recording(names, recordings)
        if divided and split in (None, NONE) and (recordings or alone):
            where = top[0] if top else "the folder itself"
            counts = {"recording(s)": len(recordings), "transcript(s) without audio": len(alone)}
            found = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
            request.note(f"{where}: {found} or more left out, it is none of train, dev and test")
            continue
        said = yield from _transcripts(here, names)
        for name in recordings:
            heard += 1
            found = _utterance(here, name, said, split, request, folder)
            if isinstance(found, Utterance) and found.speaker in genders:
                found.keys["gender"] = genders[found.speaker]
            yield found
        for key, (place, _, _) in said.items():
            yield Unusable("a transcript without audio", key, place)
        lonely += len(alone)
        for name, others in alone.items():
            beside = f"beside it: {others[0]!a}" if others else ""
            yield Unusable("a transcript without audio", beside, ascii(str(here / name)))
    if not heard:
        there = f"; {lonely} transcript(s) are there, without audio of these formats" if lonely else ""
        hint = "; there are parquet files: diminuendo import huggingface" if any(folder.rglob("*.parquet")) else ""
        raise UserError(
            f"{folder}: no recordings (wav, flac, ogg, opus or mp3) in it or below; expected NAME.wav with NAME.txt "
            f"beside it, or LibriSpeech's folders; give the folder that holds them{there}{hint}"
        )


def _without_recording(names: list[str], recordings: list[str]) -> dict[str, list[str]]:
    """Transcripts of one recording that no recording of the folder has, each with other files of its name."""
    stems = {_stem(name) for name in recordings}
    found: dict[str, list[str]] = {}
    for name in names:
        end = next((end for end in BESIDE if name.lower().endswith(end)), None)
        if end is None or name.endswith(TRANSCRIPTS) or _stem(name).lower() in _NO_TRANSCRIPTS:
            continue
        stem = name[: -len(end)]
        parts = stem.split(".")  # `1.original.txt` belongs to `1.wav` as well
        if not any(".".join(parts[:count]) in stems for count in range(1, len(parts) + 1)):
            found[name] = [other for other in names if other != name and _stem(other) == stem]
    return found


def _stem(name: str) -> str:
    return name[: name.rfind(".")] if "." in name else name


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(here), sorted(name for name in names if not name.startswith("."))


def _transcripts(here: Path, names: list[str]) -> Iterator:
    """Stem of a recording to (place, text, speaker), of the lists in a folder."""
    said: dict[str, tuple[str, str, str | None]] = {}
    for name in names:
        if not name.endswith(TRANSCRIPTS):
            continue
        spoken = _LIBRISPEECH.fullmatch(name)
        speaker = spoken["speaker"] if spoken else None
        try:
            check_plain(here / name)
        except UserError as error:
            yield Unusable("a list of transcripts that is no file", ascii(name), str(error))
            continue
        for number, raw in enumerate((here / name).read_bytes().split(b"\n"), 1):
            place = f"{here / name}:{number}"
            try:
                line = raw.decode("utf-8-sig").strip()
            except UnicodeDecodeError:
                yield Unusable("a line that is not UTF-8", ascii(raw[:60]), place)
                continue
            if line:
                key, _, text = line.partition(" ")
                said[key] = (place, text, speaker)
    return said


def _utterance(
    here: Path, name: str, said: dict, split: str | None, request: Request, folder: Path
) -> Utterance | Unusable:
    path, stem = here / name, _stem(name)
    relative = os.path.relpath(path, folder)
    try:
        check_name(relative)
        place = str(path)
        if name.lower().endswith(_UNREADABLE):
            raise Unusable("a format that is not read; convert it to flac or wav", relative)
        if stem in said:
            place, text, speaker = said.pop(stem)
        else:
            beside = _beside(here, stem)
            if beside is None:
                raise Unusable("no transcript beside it (NAME.txt, NAME.lab or a *.trans.txt)", relative)
            try:
                text, speaker = beside.read_text(encoding="utf-8-sig"), None
            except UnicodeDecodeError:
                raise Unusable("a transcript that is not UTF-8", str(beside)) from None
    except Unusable as error:
        return error.at(ascii(str(path)))
    speaker = speaker_in(relative, request) or speaker
    return Utterance(place, Sound(path.absolute()), text, split, None, speaker, str(path))


def _beside(here: Path, stem: str) -> Path | None:
    """The transcript of a recording; its suffix may be in capitals, as the recording's may."""
    ends = [spelt for end in BESIDE for spelt in (end, end.upper())]
    return next((here / (stem + end) for end in ends if (here / (stem + end)).is_file()), None)


def _genders(path: Path) -> dict[str, str]:
    """Speaker to gender, of LibriSpeech's list of readers: ``14 | F | train-clean-360 | 25.03 | Kristin LeMoine``."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith(";")]
    return {row[0]: row[1].lower() for row in cells if len(row) > 2 and row[1] in ("F", "M")}
