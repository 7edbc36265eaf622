"""One row of a table or data set as an utterance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.importing.columns import further_keys
from diminuendo.importing.fields import shown, text_of
from diminuendo.importing.paths import AUDIO_SUFFIXES, Places
from diminuendo.importing.split_names import required_split
from diminuendo.importing.times import piece, seconds
from diminuendo.importing.utterance import Request, Sound, Unusable, Utterance


def utterance_of(
    row: Mapping[str, Any],
    roles: Mapping[str, str],
    places: Places,
    place: str,
    split: str | None,
    request: Request,
    sound: Sound | None = None,
) -> Utterance | Unusable:
    """The utterance of a row.

    Args:
        roles: role to column, see ``columns.columns_of``.
        split: of the file that the row is in; None: the row may say it.
        sound: where the row holds the audio itself.
    """

    def said(role: str) -> Any:
        value = row.get(roles[role]) if role in roles else None
        return None if value is None or (isinstance(value, str) and not value.strip()) else value

    try:
        if split is None and (name := said("split")) is not None:
            split = required_split(text_of(name, "split") or "", request.splits)
        named = said("audio")
        if sound is None:
            if named is None:
                raise Unusable("no audio is named")
            start, end = seconds(said("start"), "start"), seconds(said("end"), "end")
            length = seconds(said("duration"), "duration") if start is not None else None
            offset, duration = piece(start, end, length)
            sound = Sound(places.find(str(named), AUDIO_SUFFIXES), offset, duration)
        if sound.offset is None:
            _check_unused(said("duration"), place, request)
        text, name, speaker = (text_of(said(role), role) for role in ("text", "id", "speaker"))
        if speaker is None and request.speaker is not None and isinstance(named, str):
            speaker = speaker_in(named, request)
    except Unusable as error:
        return error.at(place)
    return Utterance(
        place,
        sound,
        text or "",
        split,
        name,
        speaker,
        str(sound.path) if sound.path is not None else None,
        further_keys(row, roles),
    )


def _check_unused(duration: Any, place: str, request: Request) -> None:
    """Tell of a duration that is none: of a whole file its own length is taken, whatever the row says."""
    try:
        found = seconds(duration, "duration")
    except Unusable:
        found = -1.0
    if found is not None and found < 0:
        what = "a duration that is no number of seconds from 0; the length of the file is taken"
        request.count(what, f"{place}: {shown(duration)}")


def speaker_in(path: str, request: Request) -> str | None:
    """The speaker whom --speaker-pattern finds in the path of a recording."""
    found = request.speaker.search(path) if request.speaker is not None else None
    return (found[1] or None) if found is not None else None
