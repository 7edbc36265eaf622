"""What the page asks for, without HTTP."""

from __future__ import annotations

import io
import json
import secrets
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.demo.about import about
from diminuendo.demo.hearing import Microphone, Models
from diminuendo.demo.samples import SAMPLES, Sample

MICROPHONES = 8  # open at once, one for each window of a browser
IDLE_SECONDS = 60.0  # without audio, after which a microphone is closed
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: bytes
    kind: str = "application/json"
    status: int = HTTPStatus.OK


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = int(status)

    def answer(self) -> Answer:
        return Answer(_json({"error": str(self)}).body, status=self.status)


@dataclass
class _Open:
    microphone: Microphone
    used: float
    turn: threading.Lock = field(default_factory=threading.Lock)  # its pieces are heard one after the other


class Requests:
    """Answers the requests of the page.

    Args:
        paths: of the models, all of which hear everything.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._about = [about(path) for path in paths]
        self._models = Models(paths)
        self._open: dict[str, _Open] = {}
        self._changing = threading.Lock()

    def models(self) -> Answer:
        listed = [{"file": sample.file, "title": sample.title, "said": sample.said} for sample in SAMPLES]
        return _json({"models": self._about, "samples": listed})

    def transcribe(self, audio: bytes, name: str) -> Answer:
        """The words of an audio file, ``name`` as the browser knows it, percent-encoded."""
        shown = Path(unquote(name)).name[:100] or "the recording"
        if not audio:
            raise UserError(f"{shown}: the file is empty (0 bytes), expected audio")
        with tempfile.TemporaryDirectory(prefix="diminuendo-demo-") as folder:
            path = Path(folder) / "recording"
            path.write_bytes(audio)
            try:
                return _json(self._models.hear_file(path))
            except UserError as error:
                raise UserError(str(error).replace(str(path), shown)) from None

    def sample(self, name: str) -> Answer:
        """The words of a recording of our own, and what was ``said`` in it."""
        sample = _sample(name)
        return _json({**self._models.hear_file(sample.path), "said": sample.said})

    def sound(self, name: str) -> Answer:
        """A recording of our own as wav: a browser may fail to go to and fro in FLAC without a table of frames."""
        waveform, rate = soundfile.read(_sample(name).path, dtype="int16")
        wav = io.BytesIO()
        soundfile.write(wav, waveform, rate, format="WAV")
        return Answer(wav.getvalue(), "audio/wav")

    def open_microphone(self, query: str) -> Answer:
        rate = parse_qs(query).get("rate", [""])[0]
        if not rate.isdecimal():
            raise UserError(f"rate: {rate!r}, expected the microphone's sample rate in Hz")
        microphone, now = self._models.listen(int(rate)), time.monotonic()
        with self._changing:
            for key in [key for key, each in self._open.items() if now - each.used > IDLE_SECONDS]:
                del self._open[key]
            if len(self._open) >= MICROPHONES:
                raise Refused(HTTPStatus.TOO_MANY_REQUESTS, f"{MICROPHONES} microphones are open; stop one of them")
            key = secrets.token_urlsafe(12)
            self._open[key] = _Open(microphone, now)
        return _json({"key": key})

    def microphone(self, key: str, audio: bytes) -> Answer:
        """What a piece of audio, 32-bit little-endian floats of one channel, makes of the words so far."""
        if len(audio) % FLOAT_BYTES:
            raise UserError(f"{len(audio)} bytes of audio, expected 32-bit floats")
        opened = self._opened(key)
        with opened.turn:
            opened.used = time.monotonic()
            return _json(opened.microphone.push(np.frombuffer(audio, dtype="<f4")))

    def close_microphone(self, key: str) -> Answer:
        opened = self._opened(key)
        with self._changing:
            self._open.pop(key, None)
        with opened.turn:
            return _json(opened.microphone.finish())

    def _opened(self, key: str) -> _Open:
        with self._changing:
            if key not in self._open:
                raise Refused(HTTPStatus.NOT_FOUND, "this microphone was closed, as no audio came; start it again")
            return self._open[key]


def _sample(name: str) -> Sample:
    for sample in SAMPLES:
        if sample.file == name:
            return sample
    raise Refused(HTTPStatus.NOT_FOUND, f"{name}: there is no such sample")


def _json(content: Any) -> Answer:
    return Answer(json.dumps(content, ensure_ascii=False).encode())
