"""eSpeak NG through its C interface (``speak_lib.h``); the ``espeakng-loader`` wheel carries library and data."""

from __future__ import annotations

import ctypes
from pathlib import Path

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples arrive in the callback, during the call
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
_UTF8 = 1
_RATE, _PITCH = 1, 3
_NOISE_SEED = 1
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def data_folder() -> Path:
    """The folder of voices and dictionaries."""
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())


def variants() -> list[str]:
    """Voice variants of this installation, sorted; eSpeak NG itself ignores an unknown one without an error."""
    return sorted(path.name for path in (data_folder() / "voices" / "!v").iterdir())


def load_library() -> tuple[ctypes.CDLL, int]:
    """The shared library, initialised, and the sample rate of its voices in Hz.

    Raises:
        RuntimeError: eSpeak NG does not find its data.
    """
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
        ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    rate = library.espeak_Initialize(_SYNCHRONOUS, 500, str(data_folder()).encode(), _DO_NOT_EXIT)
    if rate <= 0:
        raise RuntimeError(f"espeak_Initialize failed with {rate}")
    return library, rate


def speak(library: ctypes.CDLL, text: str, voice: str, words_per_minute: int, pitch: int) -> bytes:
    """Native-endian 16-bit mono samples.

    The library keeps state from one utterance to the next (flutter, echo, noise generators): the same request gives the
    same samples only if it is the first one after ``load_library``. Call this once per process, or in forked children.

    Args:
        voice: accent and variant, such as ``en-us+f3``.
        pitch: 0 to 99, 50 is the voice's own.

    Raises:
        RuntimeError: eSpeak NG refused the voice or the text.
    """
    pieces: list[bytes] = []

    def receive(samples, count, _events):
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(receive)  # kept alive by this frame as long as the library may call it
    library.espeak_SetSynthCallback(callback)
    if status := library.espeak_SetVoiceByName(voice.encode()):
        raise RuntimeError(f"no voice is called {voice!r} (status {status})")
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    library.espeak_ng_SetRandSeed(_NOISE_SEED)  # breath and aspiration; the library takes the time of day
    encoded = text.encode() + b"\0"
    if status := library.espeak_Synth(encoded, len(encoded), 0, 1, 0, _UTF8, None, None):
        raise RuntimeError(f"espeak_Synth failed with {status}")
    return b"".join(pieces)
