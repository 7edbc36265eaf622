"""lhotse manifests: cuts, or recordings and supervisions, as JSON Lines, gzipped or not.

Cuts of a recording in a file are read here. Mixed, padded or perturbed cuts are what lhotse itself must load: with its
package (extra ``import``) they are written as sound files. Commands and addresses are never followed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.importing.columns import OWN_KEYS
from diminuendo.importing.fields import expect, shown, text_of
from diminuendo.importing.paths import Places, check_plain
from diminuendo.importing.split_names import NONE, split_named
from diminuendo.importing.times import piece, required_seconds, seconds
from diminuendo.importing.utterance import Found, Request, Sound, Unusable, Utterance

MOST_BYTES = 1 << 24  # of a line: a small .gz may hold a very long one
_SAME = 1e-3  # s: two lengths that differ by rounding alone
_CLOSE = 0.1  # s: a supervision that begins and ends as its cut does
_ODD_CUT, _ODD_SUPERVISION = (f"a {kind} that is not as lhotse writes them" for kind in ("cut", "supervision"))
_ERRORS = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)  # of what nobody foresaw


def read_lhotse(files: Sequence[Path], request: Request) -> Found:
    """The supervisions of one or more manifests; of several, the name of each (``cuts_train.jsonl.gz``) says its split.

    Raises:
        UserError: a file cannot be read, or holds no lhotse manifest.
    """
    splits = {file: split_in(file.name, request) for file in files}
    divided = len(files) > 1 and "train" in splits.values()
    recordings: dict[str, dict[str, Any]] = {}
    supervisions: list[tuple[str, str | None, dict[str, Any]]] = []
    cuts = False
    for file in files:
        split = splits[file] if divided else None
        if divided and split in (None, NONE):
            request.note(f"{file}: left out, its name is none of train, dev and test")
            continue
        places = Places([Path(), file.parent, *list(file.absolute().parents)[1:4]], request.root, absolute=True)
        for place, line in _lines(file):
            if isinstance(line, Unusable):
                yield line
            elif "sources" in line:
                if (known := str(line.get("id"))) in recordings:
                    yield Unusable("a second recording of one id", shown(known), place)
                else:
                    recordings[known] = line | {"_places": places, "_place": place}
            elif "recording_id" in line and "type" not in line:
                supervisions.append((place, split, line))
            elif "supervisions" in line or "tracks" in line:
                cuts = True
                yield from _of_cut(line, place, split, places)
            else:
                keys = ", ".join(map(ascii, line)) or "none"
                yield Unusable("neither a cut, a recording nor a supervision of lhotse", f"its keys: {keys}", place)
    for place, split, line in supervisions:
        yield _joined(line, recordings.get(str(line["recording_id"])), place, split)
    said = {str(line["recording_id"]) for _, _, line in supervisions}
    for name in sorted(recordings.keys() - said) if supervisions or cuts else ():
        yield Unusable("a recording without supervisions", shown(name), recordings[name]["_place"])
    if recordings and not supervisions and not cuts:
        raise UserError(f"{files[0]}: recordings alone; name the file of their supervisions as well")


def split_in(name: str, request: Request) -> str | None:
    """The split that one of the words of a file's name says: ``librispeech_cuts_dev-clean.jsonl.gz`` is dev."""
    stem = name.partition(".")[0]
    if stem in request.splits:
        return request.splits[stem]
    return next((split for word in stem.split("_") if (split := split_named(word, request.splits))), None)


def _lines(file: Path) -> Iterator[tuple[str, dict[str, Any] | Unusable]]:
    check_plain(file)
    opened = gzip.open if file.suffix == ".gz" else open
    number = 0
    try:
        with opened(file, "rb") as lines:
            for number, raw in enumerate(iter(lambda: lines.readline(MOST_BYTES + 1), b""), 1):
                place = f"{file}:{number}"
                if len(raw) > MOST_BYTES:
                    raise UserError(f"{place}: a line of more than {MOST_BYTES:,} bytes, which no cut has")
                if not raw.strip():
                    continue
                try:
                    line = json.loads(raw)
                except (ValueError, RecursionError):
                    line = None
                if not isinstance(line, dict):
                    yield place, Unusable("a line that is not a JSON object in UTF-8", ascii(raw[:60]), place)
                else:
                    yield place, line
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: cannot be read after line {number} ({error})") from None
    if not number:
        raise UserError(f"{file}: empty; expected one JSON object per line, as lhotse's .jsonl and .jsonl.gz have them")


def _of_cut(cut: dict[str, Any], place: str, split: str | None, places: Places) -> Found:
    """Every supervision of a cut; one alone has the whole cut, as lhotse's own data sets for recognition have it."""
    try:
        name = text_of(cut.get("id"), "id")
        supervisions, total = _supervisions(cut), _length(cut)
        if not supervisions:
            raise Unusable("a cut without supervisions", str(name))
    except Unusable as error:
        yield error.at(place)
        return
    except _ERRORS as error:
        yield _odd(_ODD_CUT, error, place)
        return
    for supervision in supervisions:
        try:
            alone, (begin, length) = len(supervisions) == 1, _times(supervision)
            if begin < -_CLOSE or begin + length > total + _CLOSE:
                inside = f"from {begin:g} s for {length:g} s in a cut of {total:g} s"
                raise Unusable("a supervision that reaches beyond its cut", f"{name}: {inside}")
            whole = alone or (abs(begin) <= _CLOSE and abs(begin + length - total) <= _CLOSE)
            first = 0.0 if whole else max(0.0, begin)
            last = total if whole else min(begin + length, total)
            sound = _sound(cut, first, last - first, places)
            own = name if alone else text_of(supervision.get("id"), "id")
            yield _utterance(supervision, sound, place, split, own, str(name))
        except Unusable as error:
            yield error.at(place)
        except _ERRORS as error:
            yield _odd(_ODD_CUT, error, place)


def _odd(what: str, error: Exception, place: str) -> Unusable:
    return Unusable(what, f"{type(error).__name__}: {error}", place)


def _times(supervision: dict[str, Any]) -> tuple[float, float]:
    """Start, which may lie before the cut's, and duration of a supervision.

    Raises:
        Unusable: they are no numbers, or it ends before it begins.
    """
    begin = required_seconds(supervision.get("start"), "start of a supervision")
    length = required_seconds(supervision.get("duration"), "duration of a supervision")
    piece(0.0, None, length)
    return begin, length


def _length(cut: dict[str, Any]) -> float:
    """Seconds; a mixed cut lasts until the last of its tracks ends."""
    if "tracks" not in cut:
        return required_seconds(cut.get("duration"), "duration")
    return max(_offset(track) + required_seconds(track["cut"].get("duration"), "duration") for track in _tracks(cut))


def _tracks(cut: dict[str, Any]) -> list[dict[str, Any]]:
    tracks = expect(cut["tracks"], list, _ODD_CUT, "tracks")
    if not tracks:
        raise Unusable(_ODD_CUT, "tracks: there are none")
    for track in tracks:
        expect(expect(track, dict, _ODD_CUT, "a track").get("cut"), dict, _ODD_CUT, "the cut of a track")
    return tracks


def _offset(track: dict[str, Any]) -> float:
    return seconds(track.get("offset"), "offset of a track") or 0.0


def _supervisions(cut: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a mixed cut those of all tracks, their start moved by the track's."""
    if "tracks" not in cut:
        return _own_supervisions(cut.get("supervisions"))
    return [
        {**one, "start": _offset(track) + required_seconds(one.get("start"), "start of a supervision")}
        for track in _tracks(cut)
        for one in _own_supervisions(track["cut"].get("supervisions", []))
    ]


def _own_supervisions(found: Any) -> list[dict[str, Any]]:
    return [expect(one, dict, _ODD_CUT, "a supervision") for one in expect(found, list, _ODD_CUT, "supervisions")]


def _sound(cut: dict[str, Any], first: float, length: float, places: Places) -> Sound:
    """The part of a cut from ``first`` for ``length`` seconds: in its file, or as lhotse loads it."""
    for one in [track["cut"] for track in _tracks(cut)] if "tracks" in cut else [cut]:
        if one.get("type") != "PaddingCut":
            if "recording" not in one:
                raise Unusable("a cut without its recording (features alone)", str(one.get("id")))
            expect(one["recording"], dict, _ODD_CUT, "recording")
            piece(required_seconds(one.get("start"), "start"), None, required_seconds(one.get("duration"), "duration"))
    for source in _sources(cut):
        kind = expect(expect(source, dict, _ODD_CUT, "a source").get("type"), str, _ODD_CUT, "type of a source")
        if kind != "file":
            raise Unusable(
                f"audio from a {kind!r}, which is never run or fetched; save it as files first "
                "(lhotse: CutSet.save_audios)",
                str(source.get("source"))[:200],
            )
        source["source"] = str(places.find(expect(source.get("source"), str, _ODD_CUT, "source")))
    recording = cut.get("recording", {})
    sources = expect(recording.get("sources", []), list, _ODD_CUT, "sources")
    if len(sources) != 1 or isinstance(cut.get("channel"), list) or recording.get("transforms"):
        return Sound(read=_loaded_by_lhotse(cut, first, length))
    start, duration = piece(required_seconds(cut.get("start"), "start") + first, None, length)
    path, total = Path(sources[0]["source"]), required_seconds(recording.get("duration"), "duration of a recording")
    channel = _channel(cut, sources[0])
    if start == 0.0 and abs(length - total) < _SAME:
        return Sound(path, channel=channel)
    return Sound(path, round(start, 6), duration, channel)


def _channel(cut: dict[str, Any], source: dict[str, Any]) -> int:
    """Which channel of its file a cut means: the place of its number among those of the source."""
    wanted = expect(cut.get("channel", 0), int, _ODD_CUT, "channel")
    named = source.get("channels")
    if not isinstance(named, list) or not named:
        return wanted
    if wanted not in named:
        raise Unusable("a channel that the recording does not name", f"channel {wanted} of {shown(named)}")
    return named.index(wanted)


def _sources(value: Any) -> Iterator[dict[str, Any]]:
    """Every source of audio in a manifest, those of impulse responses and of fields of the user's own as well."""
    if isinstance(value, dict):
        if isinstance(value.get("sources"), list):
            yield from value["sources"]
        for inner in value.values():
            yield from _sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _sources(inner)


def _loaded_by_lhotse(cut: dict[str, Any], first: float, length: float) -> Callable[[], tuple[np.ndarray, int]]:
    try:
        from lhotse.serialization import deserialize_item
    except ImportError:
        raise Unusable(
            "a mixed, padded or perturbed cut, which lhotse must load: pip install lhotse (the extra 'import')",
            str(cut.get("id")),
        ) from None

    own = json.dumps(cut)  # lhotse changes what it is given

    def read() -> tuple[np.ndarray, int]:
        try:
            loaded = deserialize_item(json.loads(own))
            if hasattr(loaded, "to_mono") and getattr(loaded, "num_channels", 1) != 1:
                loaded = loaded.to_mono(mono_downmix=True)
            samples = loaded.truncate(offset=first, duration=length).load_audio()
            return np.asarray(samples, dtype=np.float32).reshape(-1, samples.shape[-1]).mean(axis=0), int(
                loaded.sampling_rate
            )
        except Exception as error:  # it names no exceptions of its own
            raise Unusable("lhotse cannot load the cut", f"{type(error).__name__}: {str(error)[:200]}") from None

    return read


def _joined(
    supervision: dict[str, Any], recording: dict[str, Any] | None, place: str, split: str | None
) -> Utterance | Unusable:
    try:
        if recording is None:
            raise Unusable("a supervision of a recording that is not there", str(supervision["recording_id"]))
        own = {key: value for key, value in recording.items() if key not in ("_place", "_places")}
        begin, length = _times(supervision)
        channel = supervision.get("channel", 0)
        cut = {"recording": own, "start": 0.0, "duration": own.get("duration"), "channel": channel}
        piece(begin, None, length)
        sound = _sound(cut, begin, length, recording["_places"])
        name = text_of(supervision.get("id"), "id")
        return _utterance(supervision, sound, place, split, name, str(own.get("id")))
    except Unusable as error:
        return error.at(place)
    except _ERRORS as error:
        return _odd(_ODD_SUPERVISION, error, place)


def _utterance(
    supervision: dict[str, Any], sound: Sound, place: str, split: str | None, name: str | None, recording: str
) -> Utterance:
    custom = supervision.get("custom")
    keys = {**(custom if isinstance(custom, dict) else {})}
    keys |= {key: supervision.get(key) for key in ("gender", "language")}
    keys = {key: value for key, value in keys.items() if key not in OWN_KEYS}
    speaker, text = text_of(supervision.get("speaker"), "speaker"), text_of(supervision.get("text"), "text")
    recording = str(sound.path or supervision.get("recording_id") or recording)
    return Utterance(place, sound, text or "", split, name, speaker or None, recording, keys)
