"""A :class:`Whisper` as one ONNX graph, written node by node: waveform to tokens, the decoder's loop inside.

Shapes: as in :mod:`~diminuendo.models.whisper.seq2seq.onnx_decoder`.
"""

from __future__ import annotations

import math

import numpy as np
import onnx

from diminuendo.features.whisper_log_mel import POWER_FLOOR, RANGE
from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import END, Frames, add_inputs, array
from diminuendo.models.whisper.onnx_writer import EncoderWriter
from diminuendo.models.whisper.record import STRIDE
from diminuendo.models.whisper.seq2seq.module import Whisper
from diminuendo.models.whisper.seq2seq.onnx_decoder import NEVER, Carried, DecoderWriter, Round, keys_values_of_audio
from diminuendo.models.whisper.seq2seq.record import WhisperRecord
from diminuendo.onnx_graph.builder import BOOL, FLOAT, INT64, Graph
from diminuendo.onnx_graph.mel import SCOPE, mel_power


class _Encoder(EncoderWriter):
    """The encoder, which attends to all frames: those of silence are part of what it hears."""

    def attention(self, module, path: str, x: str, frames: Frames) -> str:
        g, H = self.g, module.heads
        q, k, v = self.queries_keys_values(module, path, self.norm(module.norm, f"{path}.norm", x), frames)
        mixed = g.op("Attention", q, k, v, q_num_heads=H, kv_num_heads=H)
        return self.linear(module.out, f"{path}.out", g.op("Reshape", mixed, g.ints(-1, linear_shape(module.out)[0])))


def add_padded_frontend(g: Graph, model: Whisper, waveform: str, lengths: str) -> tuple[str, str]:
    """Whisper's features of the audio and of the silence after it, ``[B, M, T']``, and ``T'``, ``[1]``.

    Frames that no audio reaches into are not computed: the power of each band is zero there.
    """
    f, context = model.frontend.geometry, model.record.context
    with g.scope(SCOPE):
        samples = g.op("Shape", waveform, start=1)
        at = g.op("Range", *(g.constant(0, np.int64), g.op("Squeeze", samples), g.constant(1, np.int64)))
        heard = g.op("Cast", g.op("Less", at, g.op("Unsqueeze", lengths, g.ints(1))), to=FLOAT)
        hops = g.op("Div", g.op("Add", samples, g.ints(f.hop - 1)), g.ints(f.hop))
        wanted = g.op("Max", g.op("Add", hops, g.ints(context.margin)), g.ints(1))
        rounds = g.op("Div", g.op("Add", wanted, g.ints(context.multiple - 1)), g.ints(context.multiple))
        T = g.op("Min", g.op("Mul", rounds, g.ints(context.multiple)), g.ints(context.longest))
        own = g.op("Min", g.op("Add", hops, g.ints(-(-f.lead // f.hop))), T)
        x = g.op("Mul", waveform, heard)
        missing = g.op("Sub", g.op("Mul", own, g.ints(f.hop)), samples)  # negative: what is longer is cut off
        x = g.op("Pad", x, g.op("Concat", g.ints(0, 0, 0), missing, axis=0))
        mel = mel_power(g, f, x, own)
        mel = g.op("Pad", mel, g.op("Concat", g.ints(0, 0, 0, 0, 0), g.op("Sub", T, own), axis=0))
        peak = g.op("ReduceMax", mel, g.ints(1, 2))
        floor = g.op("Max", g.op("Mul", peak, g.constant(RANGE)), g.constant(POWER_FLOOR))
        x = g.op("Mul", g.op("Log", g.op("Max", mel, floor)), g.constant(0.25 / math.log(10)))
        return g.op("Add", x, g.constant(1.0)), T


def encoder_states(g: Graph, model: Whisper, waveform: str, lengths: str) -> str:
    """``[B, T, D]``."""
    features, T = add_padded_frontend(g, model, waveform, lengths)
    encoder = _Encoder(g)
    x = g.op("Gelu", encoder.over_time(model.conv1, "conv1", g.op("Unsqueeze", features, g.ints(2))))
    x = g.op("Gelu", encoder.image(model.conv2, "conv2", x))
    batch = g.op("Shape", waveform, end=1)
    rows = g.op("Concat", batch, g.op("Div", T, g.ints(STRIDE)), axis=0)
    frames = Frames(g, g.op("Expand", g.constant(1.0), rows))
    x = encoder.positions(model.positions, x, frames)
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames)
    return g.op("Reshape", encoder.norm(model.norm, "norm", x), frames.shape(model.record.width))


class _Rules:
    """Which tokens may be written, as scores that are added to those of all tokens."""

    def __init__(self, g: Graph, record: WhisperRecord):
        self.g, self.record = g, record
        special = record.special

        def barred(tokens) -> np.ndarray:
            scores = np.zeros(record.vocabulary, np.float32)
            scores[list(tokens)] = NEVER
            return scores

        self.always = g.weight("decoder/suppressed", barred(special.suppressed))
        self.first = g.weight("decoder/suppressed_first", barred({*special.suppressed, *special.suppressed_first}))


def build_onnx(model: Whisper, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to tokens, as a checked ONNX model."""
    record, decoder = model.record, model.decoder
    special, D = record.special, record.width
    g = Graph("diminuendo")
    waveform, lengths = add_inputs(g)
    default = special.prompt(special.default_language)
    prompt = g.optional_input("prompt", INT64, ["prompt_tokens"], np.array(default, np.int64))
    most = g.optional_input("max_tokens", INT64, [], np.array(record.most_tokens, np.int64))
    states = encoder_states(g, model, waveform, lengths)
    audio = keys_values_of_audio(g, decoder, states)
    g.batch = g.op("Shape", waveform, end=1)
    rules = _Rules(g, record)

    heads: dict[int, list[int]] = {}
    for layer, head in record.alignment_heads:
        heads.setdefault(layer, []).append(head)
    b = g.body("decoder")
    b.input("round", INT64, [])
    b.input("go_on", BOOL, [])
    embedding = g.weight("decoder.embedding.weight", array(decoder.embedding.weight))
    positions = g.weight("decoder.positions", array(decoder.positions))

    ids, past = "decoder/ids", "decoder/past"
    n = b.op("Shape", ids, start=1)
    S = b.op("Add", past, n)
    at = b.op("Range", b.op("Squeeze", past), b.op("Squeeze", S), b.constant(1, np.int64))
    x = b.op("Add", b.op("Gather", embedding, ids), b.op("Gather", positions, at))
    keys = b.op("Range", b.constant(0, np.int64), b.op("Squeeze", S), b.constant(1, np.int64))
    later = b.op("Cast", b.op("Greater", keys, b.op("Unsqueeze", at, b.ints(1))), to=FLOAT)
    now = Round(n, b.op("Mul", later, b.constant(NEVER)))
    writer = DecoderWriter(b, audio, heads)
    for index, layer in enumerate(decoder.layers):
        x = writer.layer(layer, f"decoder.layers.{index}", x, index, now)
    last = b.op("Squeeze", b.op("Slice", x, b.ints(-1), b.ints(END), b.ints(1)), b.ints(1))  # [B, D]
    with b.scope("decoder.norm"):
        last = writer.norm(decoder.norm, "decoder.norm", last)
    scores = b.op("Gemm", last, embedding, transB=1)
    is_first = b.op("Equal", past, b.ints(0))
    scores = b.op("Add", scores, b.op("Where", is_first, rules.first, rules.always))
    token = b.op("ArgMax", scores, axis=1, keepdims=0)  # [B]
    best = b.op("ReduceMax", scores, b.ints(1), keepdims=0)
    log_prob = b.op("Sub", best, b.op("ReduceLogSumExp", scores, b.ints(1), keepdims=0))
    ended = "decoder/ended"
    token = b.op("Where", ended, b.constant(special.end, np.int64), token)
    over = b.op("Equal", token, b.constant(special.end, np.int64))
    log_prob = b.op("Where", over, b.constant(0.0), log_prob)
    all_over = b.op("Equal", b.op("ReduceMin", b.op("Cast", over, to=INT64), keepdims=0), b.constant(1, np.int64))
    looked = b.op("Concat", *now.looked, axis=1) if now.looked else None
    carried = [
        Carried(
            g.op("Expand", prompt, g.op("Concat", g.batch, g.ints(1), axis=0)),
            ids,
            b.op("Unsqueeze", token, b.ints(1)),
            INT64,
            ["batch", None],
        ),
        Carried(g.ints(0), past, S, INT64, [1]),
        Carried(g.op("Expand", g.constant(False, bool), g.batch), ended, over, BOOL, ["batch"]),
        *now.carried,
    ]
    for value in carried:
        b.input(value.given, value.element, value.shape)
    b.output(b.op("Not", all_over), "go_on_again", BOOL, [])
    for value in carried:
        b.outputs.append(onnx.helper.make_tensor_value_info(value.made, value.element, value.shape))
    scanned = [(token, INT64, ["batch"]), (log_prob, FLOAT, ["batch"]), (over, BOOL, ["batch"])]
    if looked:
        scanned.append((b.op("Squeeze", looked, b.ints(2)), FLOAT, ["batch", len(record.alignment_heads), None]))
    for value, element, shape in scanned:
        b.outputs.append(onnx.helper.make_tensor_value_info(value, element, shape))
    made = g.op(
        "Loop",
        most,
        g.constant(True, bool),
        *(value.first for value in carried),
        body=b.graph(),
        outputs=len(carried) + len(scanned),
    )
    tokens, log_probs, overs, *weights = made[len(carried) :]
    g.output(g.op("Transpose", tokens, perm=[1, 0]), "tokens", INT64, ["batch", "tokens"])
    g.output(g.op("Transpose", log_probs, perm=[1, 0]), "log_probs", FLOAT, ["batch", "tokens"])
    written = g.op("ReduceSum", g.op("Cast", g.op("Not", overs), to=INT64), g.ints(0), keepdims=0)
    g.output(written, "lengths", INT64, ["batch"])
    if weights:
        g.output(
            g.op("Transpose", weights[0], perm=[1, 2, 0, 3]), "alignment", FLOAT, ["batch", "heads", "tokens", "frames"]
        )
    return g.model(metadata)
