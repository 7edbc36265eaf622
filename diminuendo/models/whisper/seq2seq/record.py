"""The record of a whole Whisper, layer by layer. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from diminuendo.config.base import PositiveInt, Section
from diminuendo.core.errors import UserError
from diminuendo.models.layered_record import AnyLayerRecord, Width
from diminuendo.models.structure import Key
from diminuendo.models.whisper.record import STRIDE, WhisperEncoderRecord

Token = Annotated[int, Field(ge=0)]
# Modules of a layer of the decoder in the order of its forward pass, and the key of its record that says their units.
DECODER_MODULES = {"attention": "heads", "cross_attention": "cross_heads", "feed_forward": "feed_forward"}


class DecoderLayerRecord(AnyLayerRecord):
    """Widths of one layer of the decoder: attention to the text so far, attention to the audio, feed-forward."""

    heads: Width
    cross_heads: Width
    head_width: PositiveInt
    feed_forward: Width

    def with_rank(self, name: str, rank: int | None) -> Self:
        """With a linear layer of this rank, such as ``attention.query``; None: dense."""
        ranks = self.ranks | {name: rank} if rank else {other: r for other, r in self.ranks.items() if other != name}
        return self.model_copy(update={"ranks": ranks})


class Context(Section):
    """How much audio the encoder hears, in feature frames: that of the utterance and a margin, up to a multiple.

    Whisper as it came hears 30 s, whatever the utterance: all three are 3000.
    """

    longest: PositiveInt
    multiple: PositiveInt
    margin: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _even(self):
        if self.longest % STRIDE or self.multiple % STRIDE:
            raise ValueError(f"longest and multiple: {self.longest} and {self.multiple}, expected even numbers")
        return self

    def frames(self, heard: int) -> int:
        """For an utterance of so many feature frames."""
        return min(self.longest, -(-max(1, heard + self.margin) // self.multiple) * self.multiple)


class SpecialTokens(Section):
    """What the tokens are for that are no text.

    Attributes:
        suppressed: never written; ``suppressed_first`` are not the first of an utterance either.
        languages: code, such as ``en``, to token; empty: the model knows English alone, and its prompt names none.
    """

    start: Token
    end: Token
    previous: Token
    no_speech: Token
    no_timestamps: Token
    transcribe: Token | None = None
    translate: Token | None = None
    languages: dict[str, Token] = {}
    suppressed: tuple[Token, ...] = ()
    suppressed_first: tuple[Token, ...] = ()

    @property
    def first_timestamp(self) -> int:
        """That of 0.00 s; each one after it is 0.02 s later, up to 30 s."""
        return self.no_timestamps + 1

    def with_tokens(self, kept: Sequence[int], languages: Collection[str], never: Collection[int]) -> SpecialTokens:
        """The same where these tokens alone are left, ascending, and these languages; suppressed ones may be left out.

        Args:
            never: of ``kept``, those that are suppressed from now on.
        Raises:
            UserError: one is missing that every model has, or that of a language.
        """
        place = {token: at for at, token in enumerate(kept)}
        names = ("start", "end", "previous", "no_speech", "no_timestamps", "transcribe", "translate")
        needed = {name: token for name in names if (token := getattr(self, name)) is not None}
        told = {code: token for code, token in self.languages.items() if code in languages}
        for name, token in (needed | told).items():
            if token not in place:
                raise UserError(f"special.{name}: the token {token} is none of those that are left; keep it")
        return SpecialTokens(
            **{name: place[token] for name, token in needed.items()},
            languages={code: place[token] for code, token in told.items()},
            suppressed=tuple(place[token] for token in dict.fromkeys((*self.suppressed, *never)) if token in place),
            suppressed_first=tuple(place[token] for token in self.suppressed_first if token in place),
        )

    def prompt(self, language: str = "en", task: str = "transcribe", timestamps: bool = False) -> tuple[int, ...]:
        """What the decoder begins with; a model that knows English alone is told neither language nor task."""
        told = (self.languages[language], getattr(self, task)) if self.languages else ()
        return (self.start, *told) if timestamps else (self.start, *told, self.no_timestamps)

    @property
    def default_language(self) -> str:
        """The one that is assumed where nobody says another."""
        return "en" if not self.languages or "en" in self.languages else next(iter(self.languages))


def _check_that_it_hears(decoder: Sequence[DecoderLayerRecord]) -> None:
    if decoder and not any(layer.cross_heads for layer in decoder):
        raise UserError(
            "no head of the decoder would be left that attends to the audio, and a model that hears nothing is of no "
            "use; leave more units, or other layers"
        )


class WhisperRecord(WhisperEncoderRecord):
    """Widths of a whole model, from the waveform to the tokens; ``layers`` are the encoder's."""

    trims_tokens: ClassVar[bool] = True

    kind: Literal["whisper"] = "whisper"
    decoder: tuple[DecoderLayerRecord, ...]
    positions: PositiveInt  # tokens of the longest text, its prompt among them
    context: Context
    special: SpecialTokens
    # Layer of the decoder and head, from 0, of those that look at where a word was said.
    alignment_heads: tuple[tuple[Width, Width], ...] = ()

    @model_validator(mode="after")
    def _tokens_are_there(self):
        special = self.special
        known = [special.start, special.end, special.previous, special.no_speech, special.no_timestamps]
        known += [token for token in (special.transcribe, special.translate) if token is not None]
        known += [*special.languages.values(), *special.suppressed, *special.suppressed_first]
        if max(known) >= self.vocabulary:
            raise ValueError(f"special: the token {max(known)} is none of {self.vocabulary}")
        for layer, head in self.alignment_heads:
            if layer >= len(self.decoder) or head >= self.decoder[layer].cross_heads:
                raise ValueError(f"alignment_heads: there is no head {head} in layer {layer} of the decoder")
        return self

    @property
    def languages(self) -> dict[str, int]:
        return self.special.languages

    def with_tokens(
        self, kept: Sequence[int], languages: Collection[str] | None = None, never: Collection[int] = ()
    ) -> Self:
        stamps = range(self.special.first_timestamp, self.vocabulary)
        if list(kept[len(kept) - len(stamps) :]) != list(stamps):
            raise UserError("special: timestamps are missing among the tokens that are left; keep them all")
        if languages is not None and (strange := [code for code in languages if code not in self.languages]):
            known = ", ".join(self.languages) if self.languages else "one alone and is not told which: leave them out"
            raise UserError(f"languages: {', '.join(strange)}; the model can be told to write {known}")
        special = self.special.with_tokens(kept, self.languages if languages is None else languages, never)
        return self.model_copy(update={"vocabulary": len(kept), "special": special})

    @property
    def most_tokens(self) -> int:
        """Written for one utterance, as Whisper limits it: half of the positions."""
        return self.positions // 2

    def with_ranks(self, ranks: Mapping[str, int | None]) -> Self:
        decoder, of_encoder = list(self.decoder), {}
        for path, rank in ranks.items():
            if not path.startswith("decoder."):
                of_encoder[path] = rank
                continue
            _, _, index, name = path.split(".", 3)
            decoder[int(index)] = decoder[int(index)].with_rank(name, rank)
        return super().with_ranks(of_encoder).model_copy(update={"decoder": tuple(decoder)})

    @property
    def decoder_layer_count(self) -> int:
        return len(self.decoder)

    def with_decoder_layers(self, kept: Sequence[int]) -> Self:
        """Of the heads that look at where a word was said, those of the layers that stay.

        Raises:
            UserError: no head would be left that attends to the audio.
        """
        _check_that_it_hears([self.decoder[index] for index in kept])
        heads = [
            (place, head) for place, index in enumerate(kept) for own, head in self.alignment_heads if own == index
        ]
        update = {"decoder": tuple(self.decoder[index] for index in kept), "alignment_heads": tuple(heads)}
        return self.model_copy(update=update)

    def with_units(self, counts: Mapping[Key, int]) -> Self:
        """Of the decoder's modules the first so many units."""
        return self.keeping_units({key: range(count) for key, count in counts.items()})

    def keeping_units(self, kept: Mapping[Key, Sequence[int]]) -> Self:
        """The record of a model with these units, ascending; layers of the decoder are numbered after the encoder's.

        The heads that look at where a word was said follow.

        Raises:
            UserError: no head would be left that attends to the audio.
        """
        first, heads = len(self.layers), list(self.alignment_heads)
        record = super().with_units({key: len(units) for key, units in kept.items() if key[0] < first})
        decoder = list(self.decoder)
        for (number, module), units in kept.items():
            if (index := number - first) < 0:
                continue
            layer, update = decoder[index], {DECODER_MODULES[module]: len(units)}
            if not len(units):
                update["ranks"] = {
                    name: rank for name, rank in layer.ranks.items() if not name.startswith(f"{module}.")
                }
            decoder[index] = layer.model_copy(update=update)
            if module == "cross_attention":
                place = {unit: at for at, unit in enumerate(map(int, units))}
                heads = [
                    (own, head if own != index else place[head]) for own, head in heads if own != index or head in place
                ]
        _check_that_it_hears(decoder)
        return record.model_copy(update={"decoder": tuple(decoder), "alignment_heads": tuple(heads)})

    def with_context(self, margin_seconds: float, multiple_seconds: float) -> Self:
        a_second = self.sample_rate / self.frontend.hop
        multiple = max(STRIDE, round(multiple_seconds * a_second / STRIDE) * STRIDE)
        if multiple > self.context.longest:
            longest = self.context.longest / a_second
            raise UserError(
                f"context.multiple_seconds: {multiple_seconds:g}, and the parent hears {longest:g} s; give less"
            )
        context = Context(longest=self.context.longest, multiple=multiple, margin=round(margin_seconds * a_second))
        return self.model_copy(update={"context": context})

    def frames_of(self, seconds: float) -> tuple[int, int]:
        frames = self.context.frames(round(seconds * self.sample_rate) // self.frontend.hop)
        return frames, frames // STRIDE
