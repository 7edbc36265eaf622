"""whisper.cpp, through ``pywhispercpp``: files of our writer, matrices rounded by its own library."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from importlib import metadata

import numpy as np

from benchmarks.peers.ggml import Blocks, write_ggml
from benchmarks.peers.peer import Made, Peer, Source

DISTRIBUTION = "pywhispercpp"
KINDS = {"q8_0": (8, 7), "q5_1": (7, 9), "q4_0": (2, 2)}  # numbers of the format: of a tensor, of a file
GREEDY = {
    "n_threads": 1,
    "language": "en",
    "translate": False,
    "no_context": True,
    "no_timestamps": True,
    "single_segment": True,
    "suppress_blank": True,
    "suppress_nst": True,  # as the checkpoint's suppress_tokens
    "temperature": 0.0,
    "temperature_inc": 0.0,  # no fallback
    "logprob_thold": -math.inf,  # nothing is taken for silence
    "greedy": {"best_of": 1},
    "print_progress": False,
    "print_timestamps": False,
}


def _rounding(kind: str) -> Blocks:
    """As its own program ``quantize`` rounds."""
    tensor_type, file_type = KINDS[kind]
    library = next(file for file in metadata.files(DISTRIBUTION) if file.name == "libggml-base.so")
    round_rows = ctypes.CDLL(str(library.locate())).ggml_quantize_chunk
    count, pointer = ctypes.c_int64, ctypes.c_void_p
    round_rows.argtypes = (ctypes.c_int, pointer, pointer, count, count, count, pointer)
    round_rows.restype = ctypes.c_size_t

    def pack(values: np.ndarray) -> bytes:
        room = ctypes.create_string_buffer(values.nbytes)
        size = round_rows(tensor_type, values.ctypes.data, room, 0, *values.shape, None)
        return room.raw[:size]

    return Blocks(tensor_type, file_type, pack)


def _whisper_cpp(kind: str | None) -> Callable[[Source], Made]:
    def make(source: Source) -> Made:
        from pywhispercpp.model import Model

        path = source.work / "model.bin"
        write_ggml(source.checkpoint, path, None if kind is None else _rounding(kind))
        model = Model(str(path), redirect_whispercpp_logs_to=None, **GREEDY)

        class Heard:
            def text_of(self, waveform: np.ndarray) -> str:
                segments = model.transcribe(np.ascontiguousarray(waveform, np.float32))
                return " ".join(segment.text.strip() for segment in segments)

        return Made(Heard(), path.stat().st_size)

    return make


PEERS = tuple(
    Peer(DISTRIBUTION, f"whisper.cpp, {kind or 'f16'}, the table of tokens, too", _whisper_cpp(kind))
    for kind in (None, *KINDS)
)
