"""Small real files of format 2 whose texts are known: the loudness of each frame says which token is written.

They keep Whisper's rules as far as recognition leans on them: no timestamps after a prompt that ends with the token for
none, the language after a prompt of the start alone, poor log-probabilities of some tokens at temperature 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from diminuendo.data.byte_level import byte_of

SAMPLE_RATE = 8000  # Hz
FRAME_SAMPLES = 160
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
LONGEST_SECONDS = 3.0
LETTER = {byte: letter for letter, byte in byte_of().items()}
TIMES = [f"<special:{number * 0.02:.2f}>" for number in range(151)]
SPECIALS = ["end", "start", "en", "de", "translate", "transcribe", "prev", "nospeech", "notimestamps"]
MERGED = ["Ġ", "Ġt", "Ġto", "Ġh", "Ġhe", "Ġhel", "lo", "Ġhello", "o,", "中", "文"]
PIECES = [*(LETTER[byte] for byte in range(256) if byte != 32), *MERGED[:-2]]
PIECES += ["".join(LETTER[byte] for byte in character.encode()) for character in MERGED[-2:]]
TOKENS = [*PIECES, *(f"<special:{name}>" for name in SPECIALS), *TIMES]
FIRST_TIME = TOKENS.index(TIMES[0])
SPECIAL = {name: TOKENS.index(f"<special:{name}>") for name in SPECIALS}
DECODING = {
    "start": SPECIAL["start"],
    "end": SPECIAL["end"],
    "previous": SPECIAL["prev"],
    "no_speech": SPECIAL["nospeech"],
    "no_timestamps": SPECIAL["notimestamps"],
    "transcribe": SPECIAL["transcribe"],
    "translate": SPECIAL["translate"],
    "languages": {"en": SPECIAL["en"], "de": SPECIAL["de"]},
    "language": "en",
    "longest_seconds": LONGEST_SECONDS,
    "most_tokens": 64,
    "positions": 128,
}
POOR = "!"  # a text with it is unlikely at temperature 0
SILENT = "~"  # in a text with it, nobody is said to speak, and it is unlikely at every temperature


def spelt(text: str) -> str:
    return "".join(LETTER[byte] for byte in text.encode())


def time_token(seconds: float) -> int:
    return FIRST_TIME + round(seconds / 0.02)


def tokens_of(*texts: str) -> list[int]:
    """Each text is one token if there is such a one, and a token for each byte otherwise."""
    found = []
    for text in texts:
        whole = spelt(text)
        found += [TOKENS.index(whole)] if whole in TOKENS else [TOKENS.index(letter) for letter in whole]
    return found


def speak(tokens: Sequence[tuple[float, int] | int], seconds: float | None = None) -> np.ndarray:
    """The waveform float32 [N] of tokens, one after the other from a tenth of a second on, or at these seconds."""
    placed, frame = {}, 5
    for token in tokens:
        at, number = token if isinstance(token, tuple) else (frame * FRAME_SECONDS, token)
        frame = round(at / FRAME_SECONDS)
        assert frame not in placed
        placed[frame] = number
        frame += 1
    frames = max([frame + 5, *([] if seconds is None else [round(seconds / FRAME_SECONDS)])])
    levels = np.zeros(frames, dtype=np.float32)
    for at, number in placed.items():
        levels[at] = (number + 1) / (len(TOKENS) + 1)
    return np.repeat(levels, FRAME_SAMPLES)


def write_text_model(
    path: str | Path,
    *,
    name: str = "teacher",
    metadata: dict[str, str | None] | None = None,
    decoding: dict | None = None,
    languages: bool = True,
    alignment: bool = True,
    temperature: bool = True,
    changed: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a file.

    Args:
        metadata: keys (without the prefix) to change, or to leave out where the value is None.
        decoding: keys of it to change, or to leave out where the value is None.
        languages: whether it knows several.
        alignment, temperature: whether it has the output, and the inputs.
        changed: outputs in whose place it always gives these values.
    """
    V = len(TOKENS)
    ints = {"one": [1], "zero": [0], "all": [2**31], "samples": [FRAME_SAMPLES], "last": [-1], "end": [SPECIAL["end"]]}
    ints |= {"times": [FIRST_TIME], "none": [SPECIAL["notimestamps"]], "german": [SPECIAL["de"]]}
    constants = {key: np.array(value, dtype=np.int64) for key, value in ints.items()}
    constants |= {
        "levels": np.float32(V + 1),
        "sure": np.float32(-0.1),
        "unsure": np.float32(-3),
        "cold": np.float32(0),
    }
    constants["near"] = np.float32(4)
    constants |= {"poor": np.array(tokens_of(POOR), np.int64), "silent": np.array(tokens_of(SILENT), np.int64)}
    nodes = []

    def op(operator: str, *inputs: str, out: str = "", **attributes) -> str:
        out = out or f"{operator}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def cast(value: str, to: int = TensorProto.INT64) -> str:
        return op("Cast", value, to=to)

    # Tokens of the frames, and which of them are any.
    pooled = op("Unsqueeze", op("Abs", "waveform"), "one")
    frame = {"kernel_shape": [FRAME_SAMPLES], "strides": [FRAME_SAMPLES]}
    pooled = op("Squeeze", op("AveragePool", pooled, **frame), "one")
    found = op("Sub", cast(op("Round", op("Mul", pooled, "levels"))), "one")
    stamped = op("Not", op("Equal", op("Gather", "prompt", "last"), "none"))
    spoken = op("GreaterOrEqual", found, "zero")
    spoken = op("And", spoken, op("Or", op("Less", found, "times"), stamped))
    asked = op("Equal", op("Shape", "prompt"), "one")  # for the language
    # Those that are any, in their order, and then the others.
    T = op("Shape", found, start=1)
    place = op("Range", "begin", op("Squeeze", T, "zero"), "step")
    constants |= {"begin": np.int64(0), "step": np.int64(1)}
    rank = op("Sub", op("Mul", cast(spoken), T), place)
    nodes.append(helper.make_node("TopK", [rank, T], ["ranks", "order"], largest=1))
    count = op("Min", T, op("Unsqueeze", "max_tokens", "zero"))
    order = op("Slice", "order", "zero", count, "one")
    kept = op("GatherElements", cast(spoken), order, axis=1)
    tokens = op("GatherElements", found, order, axis=1)
    tokens = op("Where", op("Equal", kept, "one"), tokens, "end")
    if languages:
        tokens = op("Where", asked, "german", tokens)
        kept = op("Where", asked, "one", kept)
    poor = op("ReduceMax", cast(op("Equal", tokens, "poor")), "one", keepdims=1)
    silent = op("ReduceMax", cast(op("Equal", tokens, "silent")), "one", keepdims=1)
    if temperature:
        poor = op("Mul", poor, cast(op("Equal", "temperature", "cold")))
    unsure = op("Greater", op("Add", poor, silent), "zero")
    log_probs = op("Where", unsure, "unsure", "sure")
    log_probs = op("Where", op("Equal", kept, "one"), log_probs, "cold")
    far = op("Cast", op("Sub", op("Unsqueeze", order, "two"), place), to=TensorProto.FLOAT)
    looked = op("Reciprocal", op("Add", op("Mul", far, far), "near"))
    constants["two"] = np.array([2], dtype=np.int64)
    B_names = {"tokens": tokens, "log_probs": log_probs, "lengths": op("ReduceSum", kept, "one", keepdims=0)}
    B_names["no_speech"] = cast(op("Squeeze", silent, "one"), TensorProto.FLOAT)
    shapes = {"tokens": ["B", "L"], "log_probs": ["B", "L"], "lengths": ["B"], "no_speech": ["B"]}
    if alignment:
        B_names["alignment"] = op("Unsqueeze", looked, "one")
        shapes["alignment"] = ["B", "A", "L", "T"]
    for key, value in (changed or {}).items():
        constants[f"changed_{key}"], B_names[key] = value, f"changed_{key}"
    types = {"tokens": TensorProto.INT64, "lengths": TensorProto.INT64}
    outputs = []
    for key, value in B_names.items():
        op("Identity", value, out=key)
        kind = types.get(key, TensorProto.FLOAT)
        if key in (changed or {}):
            kind = helper.np_dtype_to_tensor_dtype(changed[key].dtype)
            shapes[key] = list(changed[key].shape)
        outputs.append(helper.make_tensor_value_info(key, kind, shapes[key]))
    told = [DECODING["start"], *([SPECIAL["en"], SPECIAL["transcribe"]] if languages else []), SPECIAL["notimestamps"]]
    defaults = {"prompt": np.array(told, np.int64), "max_tokens": np.array(64, np.int64)}
    if temperature:
        defaults |= {"temperature": np.array(0, np.float32), "seed": np.array(0, np.int64)}
    inputs = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["B", "N"]),
        helper.make_tensor_value_info("waveform_lengths", TensorProto.INT64, ["B"]),
    ]
    for key, value in defaults.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        inputs.append(helper.make_tensor_value_info(key, kind, ["P"] if value.ndim else []))
    stored = {**constants, **defaults}
    initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in stored.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    says = {**DECODING, **({} if languages else {"languages": {}, "transcribe": None, "translate": None})}
    says = {key: value for key, value in (says | (decoding or {})).items() if value is not None}
    keys = {
        "format": "2",
        "tokens": json.dumps(TOKENS, ensure_ascii=False),
        "decoding": json.dumps(says),
        "sample_rate": str(SAMPLE_RATE),
        "frame_seconds": repr(FRAME_SECONDS),
        "name": name,
        "parameters": str(V),
        "lineage": json.dumps({"name": name}),
    } | (metadata or {})
    helper.set_model_props(model, {f"diminuendo.{key}": value for key, value in keys.items() if value is not None})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path
