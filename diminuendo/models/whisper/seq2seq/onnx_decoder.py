"""Whisper's decoder as the body of an ONNX ``Loop``: it reads tokens and writes the likeliest next one.

The first round reads the whole prompt, every later one the token that was written last. Keys and values of what was
read are carried from round to round; those of the audio are computed once, outside of the loop.

Shapes: ``B`` batch, ``n`` tokens read in a round, ``S`` tokens read so far, ``T`` encoder frames, ``D`` model width,
``H`` heads, ``E`` head width, ``V`` vocabulary, ``A`` alignment heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import helper

from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import END, LayerWriter, array
from diminuendo.models.whisper.seq2seq.decoder import CrossAttention, DecoderLayer
from diminuendo.models.whisper.seq2seq.module import Whisper
from diminuendo.models.whisper.seq2seq.onnx_rules import NEVER, Chosen, Rules, Written
from diminuendo.onnx_graph.builder import BOOL, FLOAT, INT64, Body, Graph


@dataclass
class Carried:
    """What a round hands to the next: the name of its input, of its output, and its first value in the outer graph."""

    first: str
    given: str
    made: str
    element: int
    shape: list


@dataclass
class Round:
    """What the layers of one round share.

    Attributes:
        bias: ``[n, S]``, forbids later tokens as keys.
        carried: keys and values so far, in the order of the layers.
        looked: weights of the alignment heads, ``[B, heads, 1, T]`` by layer.
    """

    bias: str
    carried: list[Carried] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)


class DecoderWriter(LayerWriter):
    """Adds the decoder's modules to the body of the loop.

    Args:
        g: the body.
        audio: keys ``[B, H, E, T]`` and values ``[B, H, T, E]`` of each layer's attention to the audio.
        heads: alignment heads of each layer.
    """

    def __init__(self, g: Body, audio: dict[int, tuple[str, str]], heads: dict[int, list[int]]):
        super().__init__(g)
        self.audio, self.heads = audio, heads

    def rows_of(self, x: str, H: int, E: int) -> str:
        """``[B, n, H × E] → [B, H, n, E]``."""
        return self.g.op("Transpose", self.g.op("Reshape", x, self.g.ints(0, 0, H, E)), perm=[0, 2, 1, 3])

    def mixed(self, weights: str, values: str, width: int) -> str:
        """``[B, H, n, S]`` and ``[B, H, S, E]`` to ``[B, n, H × E]``."""
        x = self.g.op("Transpose", self.g.op("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self.g.op("Reshape", x, self.g.ints(0, 0, width))

    def query(self, module, path: str, x: str) -> str:
        """Scaled queries ``[B, H, n, E]``."""
        E = linear_shape(module.query)[1] // module.heads
        q = self.g.op("Mul", self.linear(module.query, f"{path}.query", x), self.g.constant(E**-0.5))
        return self.rows_of(q, module.heads, E)

    def to_text(self, module, path: str, x: str, now: Round) -> str:
        g, H, rows = self.g, module.heads, linear_shape(module.query)[1]
        E = rows // H
        x = self.norm(module.norm, f"{path}.norm", x)
        q = self.query(module, path, x)
        key = self.rows_of(self.linear(module.key, f"{path}.key", x), H, E)
        value = self.rows_of(self.linear(module.value, f"{path}.value", x), H, E)
        keys, values = self.grown(path, "keys", key, H, E, now), self.grown(path, "values", value, H, E, now)
        scores = g.op("MatMul", q, g.op("Transpose", keys, perm=[0, 1, 3, 2]))
        weights = g.op("Softmax", g.op("Add", scores, now.bias), axis=-1)
        return self.linear(module.out, f"{path}.out", self.mixed(weights, values, rows))

    def grown(self, path: str, name: str, new: str, H: int, E: int, now: Round) -> str:
        """All rows so far and the new ones, ``[B, H, S, E]``."""
        g = self.g
        before = f"{path}.{name}/before"
        after = g.op("Concat", before, new, axis=2)
        batch = g.outer.op("Concat", g.outer.batch, g.ints(H, 0, E), axis=0)
        first = g.outer.op("Expand", g.constant(np.zeros((1, 1, 1, 1))), batch)
        now.carried.append(Carried(first, before, after, FLOAT, ["batch", H, None, E]))
        return after

    def to_audio(self, module: CrossAttention, path: str, x: str, index: int, now: Round) -> str:
        g = self.g
        q = self.query(module, path, self.norm(module.norm, f"{path}.norm", x))
        keys, values = self.audio[index]
        weights = g.op("Softmax", g.op("MatMul", q, keys), axis=-1)
        if heads := self.heads.get(index):
            last = g.op("Slice", weights, g.ints(-1), g.ints(END), g.ints(2))
            now.looked.append(
                last if heads == list(range(module.heads)) else g.op("Gather", last, g.ints(*heads), axis=1)
            )
        rows = linear_shape(module.query)[1]
        return self.linear(module.out, f"{path}.out", self.mixed(weights, values, rows))

    def layer(self, module: DecoderLayer, path: str, x: str, index: int, now: Round) -> str:
        g = self.g
        with g.scope(path):
            if module.attention is not None:
                x = g.op("Add", x, self.to_text(module.attention, f"{path}.attention", x, now))
            if module.cross_attention is not None:
                x = g.op("Add", x, self.to_audio(module.cross_attention, f"{path}.cross_attention", x, index, now))
            if module.feed_forward is not None:
                x = g.op("Add", x, self.feed_forward(module.feed_forward, f"{path}.feed_forward", x, self.gelu))
            return x


class DecoderLoop:
    """The decoder's loop in a graph.

    Args:
        g: the graph, whose ``batch`` is ``B``, ``[1]``.
        states: of the encoder, ``[B, T, D]``.
        prompt: ``[P]``, what every text begins with.
        how: the next token is chosen.
    """

    def __init__(self, g: Graph, model: Whisper, states: str, prompt: str, how: Chosen):
        self.g, self.record, self.decoder = g, model.record, model.decoder
        self.prompt, self.how = prompt, how
        self.rules = Rules(g, self.record, prompt)
        self.audio = self._keys_values(states)
        self.embedding = g.weight("decoder.embedding.weight", array(self.decoder.embedding.weight))
        self.positions = g.weight("decoder.positions", array(self.decoder.positions))

    def _keys_values(self, states: str) -> dict[int, tuple[str, str]]:
        """Of every layer that attends to the audio: keys ``[B, H, E, T]`` and values ``[B, H, T, E]``."""
        g, writer, found = self.g, LayerWriter(self.g), {}
        for index, layer in enumerate(self.decoder.layers):
            if (module := layer.cross_attention) is None:
                continue
            path, E = f"decoder.layers.{index}.cross_attention", linear_shape(module.query)[1] // module.heads
            parts = []
            with g.scope(f"decoder.layers.{index}"):
                for name, perm in (("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
                    x = writer.linear(getattr(module, name), f"{path}.{name}", states)
                    x = g.op("Reshape", x, g.ints(0, 0, module.heads, E))
                    parts.append(g.op("Transpose", x, perm=perm))
            found[index] = tuple(parts)
        return found

    def _heads(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for layer, head in sorted(self.record.alignment_heads):
            found.setdefault(layer, []).append(head)
        return found

    def run(self, most: str) -> None:
        """Append the loop and its results as outputs of the graph.

        Args:
            most: rounds, a scalar; no more than there are positions for.
        """
        g, D = self.g, self.record.width
        prompted = g.op("Squeeze", g.op("Shape", self.prompt))
        most = g.op("Min", most, g.op("Sub", g.constant(self.record.positions + 1, np.int64), prompted))
        b = g.body("decoder")
        round_number = b.input("round", INT64, [])
        b.input("go_on", BOOL, [])
        first_ids = g.op("Expand", self.prompt, g.op("Concat", g.batch, g.ints(1), axis=0))
        written = Written("decoder/last", "decoder/before", "decoder/stamp")

        # The tokens that are read in this round, after those that were read before it.
        ids, past = "decoder/ids", "decoder/past"
        n = b.op("Shape", ids, start=1)
        S = b.op("Add", past, n)
        at = b.op("Range", b.op("Squeeze", past), b.op("Squeeze", S), b.constant(1, np.int64))
        x = b.op("Add", b.op("Gather", self.embedding, ids), b.op("Gather", self.positions, at))
        keys = b.op("Range", b.constant(0, np.int64), b.op("Squeeze", S), b.constant(1, np.int64))
        later = b.op("Cast", b.op("Greater", keys, b.op("Unsqueeze", at, b.ints(1))), to=FLOAT)
        now = Round(b.op("Mul", later, b.constant(NEVER)))
        writer = DecoderWriter(b, self.audio, self._heads())
        for index, layer in enumerate(self.decoder.layers):
            x = writer.layer(layer, f"decoder.layers.{index}", x, index, now)
        last = b.op("Squeeze", b.op("Slice", x, b.ints(-1), b.ints(END), b.ints(1)), b.ints(1))  # [B, D]
        is_first = b.op("Equal", past, b.ints(0))
        start_state = self._start_state(b, x, n, is_first)

        scores = self.rules.scores(b, self._scores(b, last), is_first, written)
        token = self.how.token(b, self.rules, scores, round_number)
        token = b.op("Where", "decoder/ended", b.constant(self.record.special.end, np.int64), token)
        row = b.op("GatherElements", scores, b.op("Unsqueeze", token, b.ints(1)), axis=1)
        log_prob = b.op("Squeeze", b.op("Sub", row, b.op("ReduceLogSumExp", scores, b.ints(1))), b.ints(1))
        log_prob = b.op("Where", "decoder/ended", b.constant(0.0), log_prob)
        ended = b.op("Equal", token, b.constant(self.record.special.end, np.int64))
        all_ended = b.op("ReduceMin", b.op("Cast", ended, to=INT64), keepdims=0)
        after, before = self.rules.followed(b, token, is_first, written), self.rules.beginning()

        batch = ["batch"]
        carried = [
            Carried(first_ids, ids, b.op("Unsqueeze", token, b.ints(1)), INT64, ["batch", None]),
            Carried(g.ints(0), past, S, INT64, [1]),
            Carried(g.op("Expand", g.constant(False, bool), g.batch), "decoder/ended", ended, BOOL, batch),
            Carried(before.last, written.last, after.last, INT64, batch),
            Carried(before.before, written.before, after.before, INT64, batch),
            Carried(before.stamp, written.stamp, after.stamp, INT64, batch),
            Carried(self._zeros(D), "decoder/start_state", start_state, FLOAT, ["batch", D]),
            *now.carried,
        ]
        scanned = [(b.op("Identity", token), INT64, batch), (log_prob, FLOAT, batch)]
        if now.looked:
            looked = b.op("Squeeze", b.op("Concat", *now.looked, axis=1), b.ints(2))
            scanned.append((looked, FLOAT, ["batch", len(self.record.alignment_heads), None]))
        for value in carried:
            b.input(value.given, value.element, value.shape)
        b.output(b.op("Equal", all_ended, b.constant(0, np.int64)), "more", BOOL, [])
        made = [(value.made, value.element, value.shape) for value in carried]
        for value, element, shape in [*made, *scanned]:
            b.outputs.append(helper.make_tensor_value_info(value, element, shape))
        first = (most, g.constant(True, bool), *(value.first for value in carried))
        found = g.op("Loop", *first, body=b.graph(), outputs=len(made) + len(scanned))
        states = dict(zip((value.given for value in carried), found))
        self._outputs(states, *found[len(made) :])

    def _zeros(self, *shape: int) -> str:
        g = self.g
        return g.op("Expand", g.constant(0.0), g.op("Concat", g.batch, g.ints(*shape), axis=0))

    def _start_state(self, b: Body, x: str, n: str, is_first: str) -> str:
        """The state ``[B, D]`` that was over the start token, which tells whether anybody speaks."""
        g = self.g
        is_start = g.op("Equal", self.prompt, g.constant(self.record.special.start, np.int64))
        at = g.op("ArgMax", g.op("Cast", is_start, to=INT64), axis=0, keepdims=1)
        row = b.op("Gather", x, b.op("Min", at, b.op("Sub", n, b.ints(1))), axis=1)
        return b.op("Where", is_first, b.op("Squeeze", row, b.ints(1)), "decoder/start_state")

    def _scores(self, g: Graph, state: str) -> str:
        """The last layer's state ``[B, D]`` to scores of all tokens ``[B, V]``."""
        with g.scope("decoder.norm"):
            x = LayerWriter(g).norm(self.decoder.norm, "decoder.norm", state)
        with g.scope("decoder.embedding"):
            return g.op("Gemm", x, self.embedding, transB=1)

    def _outputs(self, states: dict[str, str], tokens: str, log_probs: str, looked: str | None = None) -> None:
        g, end = self.g, self.record.special.end
        tokens = g.op("Transpose", tokens, perm=[1, 0])
        g.output(tokens, "tokens", INT64, ["batch", "tokens"])
        g.output(g.op("Transpose", log_probs, perm=[1, 0]), "log_probs", FLOAT, ["batch", "tokens"])
        text = g.op("Cast", g.op("Not", g.op("Equal", "tokens", g.constant(end, np.int64))), to=INT64)
        g.output(g.op("ReduceSum", text, g.ints(1), keepdims=0), "lengths", INT64, ["batch"])
        silence = g.op("Softmax", self._scores(g, states["decoder/start_state"]), axis=1)
        silence = g.op("Gather", silence, g.constant(self.record.special.no_speech, np.int64), axis=1)
        g.output(silence, "no_speech", FLOAT, ["batch"])
        if looked is not None:
            shape = ["batch", len(self.record.alignment_heads), "tokens", "frames"]
            g.output(g.op("Transpose", looked, perm=[1, 2, 0, 3]), "alignment", FLOAT, shape)
