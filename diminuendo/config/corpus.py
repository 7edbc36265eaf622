"""Where speech comes from, and what it is made into."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, Hertz, OpenFraction, Positive, PositiveInt, Section, Weight


class DataConfig(Section):
    source: Literal["synthetic", "manifest"]
    path: str  # synthetic: folder of grammar.yaml; manifest: folder of train.jsonl, dev.jsonl, test.jsonl
    sample_rate: Hertz  # everything is resampled to this
    min_seconds: Weight  # train utterances outside these limits are left out, and counted
    max_seconds: Positive
    collected: str  # folder of further train, dev and test.jsonl, any or none of them: what retraining adds
    dev_fraction: OpenFraction | None = None  # manifest without dev.jsonl: share of train that becomes dev, by speaker

    @model_validator(mode="after")
    def _limits_in_order(self):
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds ({self.min_seconds:g}) must be below max_seconds ({self.max_seconds:g})")
        if self.dev_fraction is not None and self.source != "manifest":
            raise ValueError(
                "dev_fraction works with source: manifest; the size of a synthetic dev is synthesis.dev_utterances"
            )
        return self


class SynthesisConfig(Section):
    """Size of the corpus that eSpeak NG speaks when ``data.source`` is ``synthetic``."""

    train_utterances: PositiveInt
    dev_utterances: PositiveInt
    test_utterances: PositiveInt
    unlabelled_utterances: Annotated[int, Field(ge=0)] = 0  # further sentences in train's voices, without their text
    words_per_minute: tuple[int, int]
    pitch: tuple[int, int]  # eSpeak NG's scale, 0 to 99
    noise_snr_db: tuple[float, float]
    noise_probability: Fraction
    gain_db: tuple[float, float]

    @model_validator(mode="after")
    def _ranges_in_order(self):
        for key in ("words_per_minute", "pitch", "noise_snr_db", "gain_db"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: [{low:g}, {high:g}] must be [lowest, highest]")
        if not (self.words_per_minute[0] >= 80 and self.words_per_minute[1] <= 450):
            raise ValueError(f"words_per_minute: eSpeak NG speaks 80 to 450, found {list(self.words_per_minute)}")
        if not (self.pitch[0] >= 0 and self.pitch[1] <= 99):
            raise ValueError(f"pitch: eSpeak NG's scale is 0 to 99, found {list(self.pitch)}")
        return self


ABOUT_TOKENS = 64  # letters, or a checkpoint's


class TextConfig(Section):
    # What the corpus' own students write; checkpoint: the tokens of a pretrained teacher's own head.
    units: Literal["characters", "sentencepiece", "checkpoint"]
    vocab_size: PositiveInt | None = None  # of sentencepiece units; characters and checkpoints have their own
    # tr (Turkish) and az (Azerbaijani): I becomes ı, and İ becomes i; false: letters stay as they are.
    lowercase: bool | Literal["tr", "az"]
    # Of characters of dev and test that no text of train has. The default is in no record: older corpora stay the same.
    unknown: Annotated[Literal["error", "replace", "drop"], Field(exclude_if=lambda value: value == "error")] = "error"

    @property
    def about_tokens(self) -> int:
        """How many tokens there will be, roughly, before a text was read."""
        return self.vocab_size or ABOUT_TOKENS

    @model_validator(mode="after")
    def _sized(self):
        if self.units == "sentencepiece" and self.vocab_size is None:
            raise ValueError("vocab_size: missing; say how many sentencepiece units there shall be, such as 256")
        return self
