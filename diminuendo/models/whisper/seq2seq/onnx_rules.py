"""What a decoder may write, and which token it writes, as nodes of the loop's body.

The rules of timestamps are Whisper's (Radford et al. 2022): a text begins with one, of the first second; they come in
pairs, the end of a segment and the beginning of the next; they never go back; and where all of them together are
likelier than any other token, one is written.

Shapes: ``B`` batch, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from diminuendo.models.whisper.seq2seq.record import WhisperRecord
from diminuendo.onnx_graph.builder import DOUBLE, FLOAT, INT64, Body, Graph

NEVER = -1e9  # score of a token that may not be written
LATEST_FIRST = 50  # timestamps after 0.00 s that a text may begin with: a second
PRIME = 2**31 - 1  # of the generator of random numbers
_STEP, _SEED, _ROW, _TOKEN = 69621, 40692, 16807, 48271  # its multipliers


@dataclass(frozen=True)
class Written:
    """What was written before: tokens ``[B]``, and the last timestamp, or what stands before the first of them."""

    last: str
    before: str
    stamp: str


class Rules:
    """The outer graph's part: what is the same in every round."""

    def __init__(self, g: Graph, record: WhisperRecord, prompt: str):
        self.g, self.record = g, record
        special = record.special
        self.first_stamp = special.first_timestamp
        self.numbers = g.op("Range", *(g.constant(n, np.int64) for n in (0, record.vocabulary, 1)))  # [V]
        self.always = self._barred(special.suppressed)
        self.first = self._barred({*special.suppressed, *special.suppressed_first})
        last = g.op("Gather", prompt, g.constant(-1, np.int64))
        self.stamped = g.op("Not", g.op("Equal", last, g.constant(special.no_timestamps, np.int64)))  # scalar
        if special.languages:  # after the start alone comes the language
            asked = g.op("Equal", last, g.constant(special.start, np.int64))
            languages = self._but(NEVER, 0.0, sorted(special.languages.values()))
            self.first = g.op("Where", asked, languages, self.first)
            self.stamped = g.op("And", self.stamped, g.op("Not", asked))

    def _barred(self, tokens: Iterable[int]) -> str:
        """Scores ``[V]`` that are added: of these tokens so low that they are never written."""
        return self._but(0.0, NEVER, sorted(tokens))

    def _but(self, usual: float, other: float, tokens: list[int]) -> str:
        """``usual`` for every token but these, ``[V]``."""
        g = self.g
        scores = g.op("Expand", g.constant(usual), g.ints(self.record.vocabulary))
        return g.op("ScatterElements", scores, g.ints(*tokens), g.constant([other] * len(tokens))) if tokens else scores

    def scores(self, b: Body, scores: str, is_first: str, written: Written) -> str:
        """Scores ``[B, V]`` of all tokens to those of tokens that may be written."""
        scores = b.op("Add", scores, b.op("Where", is_first, self.first, self.always))
        then, other = b.body("stamped"), b.body("plain")
        for branch, value in ((then, self._stamped(then, scores, is_first, written)), (other, scores)):
            branch.output(
                branch.op("Identity", value), f"{branch.name}_scores", FLOAT, ["batch", self.record.vocabulary]
            )
        return b.op("If", self.stamped, then_branch=then.graph(), else_branch=other.graph())

    def _stamped(self, b: Body, scores: str, is_first: str, written: Written) -> str:
        stamps = b.constant(self.first_stamp, np.int64)

        def number(value: int) -> str:
            return b.constant(value, np.int64)

        def column(value: str) -> str:
            return b.op("Unsqueeze", value, b.ints(1))

        is_stamp = b.op("GreaterOrEqual", self.numbers, stamps)  # [V]
        is_text = b.op("Less", self.numbers, number(self.record.special.end))
        last_was = b.op("GreaterOrEqual", written.last, stamps)
        before_was = b.op("GreaterOrEqual", written.before, stamps)
        opened = b.op("And", last_was, b.op("Not", before_was))  # a segment has ended, the next has not begun
        lowest = b.op("Add", written.stamp, b.op("Where", opened, number(0), number(1)))
        early = b.op("And", is_stamp, b.op("Less", self.numbers, column(lowest)))
        barred = b.op("Or", early, b.op("And", column(b.op("And", last_was, before_was)), is_stamp))
        barred = b.op("Or", barred, b.op("And", column(opened), is_text))
        late = b.op("Greater", self.numbers, number(self.first_stamp + LATEST_FIRST))
        not_first = b.op("Or", b.op("Not", is_stamp), late)
        barred = b.op("Or", barred, b.op("And", is_first, not_first))
        barred = b.op("Or", barred, b.op("Equal", self.numbers, number(self.record.special.no_timestamps)))
        scores = b.op("Where", barred, b.constant(NEVER), scores)
        together = b.op("ReduceLogSumExp", b.op("Where", is_stamp, scores, b.constant(NEVER)), b.ints(1))  # [B, 1]
        other = b.op("ReduceMax", b.op("Where", is_stamp, b.constant(NEVER), scores), b.ints(1))
        stamp_now = b.op("And", b.op("Greater", together, other), b.op("Not", is_stamp))
        return b.op("Where", stamp_now, b.constant(NEVER), scores)

    def followed(self, b: Body, token: str, is_first: str, written: Written) -> Written:
        """What was written, once this token ``[B]`` is."""
        stamps = b.constant(self.first_stamp, np.int64)
        # Whisper takes what stands before the first token for a timestamp.
        before = b.op("Where", is_first, stamps, written.last)
        is_stamp = b.op("GreaterOrEqual", token, stamps)
        return Written(b.op("Identity", token), before, b.op("Where", is_stamp, token, written.stamp))

    def beginning(self) -> Written:
        """Before anything was written, in the outer graph."""
        g = self.g
        none, stamps = (g.constant(value, np.int64) for value in (0, self.first_stamp))
        before_all = g.constant(self.first_stamp - 1, np.int64)
        return Written(*(g.op("Expand", value, g.batch) for value in (none, stamps, before_all)))


@dataclass(frozen=True)
class Chosen:
    """How a token is chosen: as it is given, or the likeliest, or drawn at a temperature above 0.

    Drawn is by the Gumbel trick (Gumbel 1954), with numbers that depend on the seed, the round, the row and the token
    alone: the same seed writes the same text.

    Attributes:
        temperature, seed: scalars of the outer graph.
        forced: tokens that are taken as written, ``[B or 1, F]``.
    """

    temperature: str
    seed: str
    forced: str

    def token(self, b: Body, rules: Rules, scores: str, round_number: str) -> str:
        """``[B]``, of scores ``[B, V]``."""
        given, free = b.body("given"), b.body("free")
        own = given.op("Gather", self.forced, round_number, axis=1)
        given.output(given.op("Expand", own, rules.g.batch), "given_token", INT64, ["batch"])
        free.output(self._free(free, rules, scores, round_number), "free_token", INT64, ["batch"])
        count = b.op("Squeeze", b.op("Shape", self.forced, start=1))
        is_given = b.op("Less", round_number, count)
        return b.op("If", is_given, then_branch=given.graph(), else_branch=free.graph())

    def _free(self, b: Body, rules: Rules, scores: str, round_number: str) -> str:
        drawn, likeliest = b.body("drawn"), b.body("likeliest")
        warm = drawn.op("Div", scores, self.temperature)
        warm = drawn.op("Add", warm, self._gumbel(drawn, rules, round_number))
        for branch, value in ((drawn, warm), (likeliest, scores)):
            token = branch.op("ArgMax", value, axis=1, keepdims=0)
            branch.output(token, f"{branch.name}_token", INT64, ["batch"])
        is_warm = b.op("Greater", self.temperature, b.constant(0.0))
        return b.op("If", is_warm, then_branch=drawn.graph(), else_branch=likeliest.graph())

    def _gumbel(self, b: Body, rules: Rules, round_number: str) -> str:
        """Numbers of the Gumbel distribution, ``[B, V]``."""

        def whole(value: int) -> str:
            return b.constant(value, np.int64)

        def within(value: str) -> str:
            return b.op("Mod", value, whole(PRIME))

        rows = b.op("Unsqueeze", b.op("Range", whole(0), b.op("Squeeze", rules.g.batch), whole(1)), b.ints(1))
        key = b.op("Add", b.op("Mul", round_number, whole(_STEP)), b.op("Mul", self.seed, whole(_SEED)))
        key = within(b.op("Abs", b.op("Add", key, b.op("Mul", rows, whole(_ROW)))))
        numbers = within(b.op("Mul", b.op("Add", rules.numbers, whole(1)), whole(_TOKEN)))
        value = within(b.op("Add", numbers, key))
        for further in (key, numbers, key):
            value = within(b.op("Add", b.op("Mul", value, value), further))
        uniform = b.op("Mul", b.op("Cast", value, to=DOUBLE), b.constant(1 / PRIME, np.float64))
        uniform = b.op("Clip", uniform, b.constant(1e-12, np.float64), b.constant(1 - 1e-12, np.float64))
        gumbel = b.op("Neg", b.op("Log", b.op("Neg", b.op("Log", uniform))))
        return b.op("Cast", gumbel, to=FLOAT)
