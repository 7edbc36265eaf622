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
_UNREADABLE = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".sph")


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
    heard = 0
    for here, names in _walk(folder):
        top = here.relative_to(folder).parts[:1]
        split = splits.get(top[0]) if divided and top else None
        recordings = [name for name in names if name.lower().endswith((*AUDIO_SUFFIXES, *_UNREADABLE))]
        if divided and split in (None, NONE) and recordings:
            where = top[0] if top else "the folder itself"
            request.note(f"{where}: {len(recordings)} recording(s) or more left out, it is none of train, dev and test")
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
    if not heard:
        hint = "; there are parquet files: diminuendo import huggingface" if any(folder.rglob("*.parquet")) else ""
        raise UserError(
            f"{folder}: no recordings (wav, flac, ogg, opus or mp3) in it or below; expected NAME.wav with NAME.txt "
            f"beside it, or LibriSpeech's folders; give the folder that holds them{hint}"
        )


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
    path, stem = here / name, name[: name.rfind(".")]
    relative = os.path.relpath(path, folder)
    try:
        check_name(relative)
        place = str(path)
        if name.lower().endswith(_UNREADABLE):
            raise Unusable("a format that is not read; convert it to flac or wav", relative)
        if stem in said:
            place, text, speaker = said.pop(stem)
        else:
            beside = next((here / (stem + end) for end in BESIDE if (here / (stem + end)).is_file()), None)
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


def _genders(path: Path) -> dict[str, str]:
    """Speaker to gender, of LibriSpeech's list of readers: ``14 | F | train-clean-360 | 25.03 | Kristin LeMoine``."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith(";")]
    return {row[0]: row[1].lower() for row in cells if len(row) > 2 and row[1] in ("F", "M")}
