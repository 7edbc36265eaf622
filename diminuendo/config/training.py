"""Settings of optimisation and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from diminuendo.config.base import Fraction, OpenFraction, Positive, PositiveInt, Section, Weight, overrides_of


class AugmentationConfig(Section):
    """What is done to training audio, each draw seeded by (seed, epoch, utterance)."""

    speed: tuple[float, ...]  # factors, one drawn per utterance and epoch (Ko et al. 2015)
    noise_probability: Fraction
    noise_snr_db: tuple[float, float]  # uniform between the two
    gain_db: tuple[float, float]
    time_masks: int  # SpecAugment (Park et al. 2019)
    time_mask_fraction: Fraction  # of the utterance, the widest one mask may be
    mel_masks: int
    mel_mask_bands: int
    joined: Fraction = 0.0  # share of an epoch's utterances that are heard in pairs, of one speaker where one is named
    silence_seconds: Weight = 0.0  # the longest near-silence before, between and after them, uniform from 0
    without_speech: Fraction = 0.0  # share of them in whose place nobody speaks: noise or near-silence, and no text


class TrainingConfig(Section):
    """One optimisation run: AdamW, linear warm-up, cosine decay to ``final_learning_rate``."""

    epochs: PositiveInt
    batch_seconds: Positive  # padded audio in one step
    learning_rate: Positive
    final_learning_rate: Weight
    warmup_fraction: OpenFraction
    weight_decay: Weight
    clip_norm: Positive
    ema_decay: Fraction  # 0: no moving average of the weights
    dev_every: PositiveInt  # epochs between evaluations on dev
    checkpoint_every: PositiveInt  # steps between saved states
    augmentation: AugmentationConfig
    # Fine-tuning: what is nearer to the audio changes less. Each layer learns at this share of the rate of the next,
    # the last at this share of the head's (Howard & Ruder 2018).
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    # What stands before the layers, and so many of them, keeps its weights; null: everything is trained.
    frozen_layers: Annotated[int, Field(ge=0)] | None = None
    # The processor unless something else is said: the same bytes again are promised there and nowhere else, since the
    # gradient of CTC has no deterministic kernel on a GPU. `auto` is CUDA where there is any.
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    # bfloat16: products and convolutions of model and teacher in mixed precision, faster where the processor has it.
    precision: Literal["float32", "bfloat16"] = "float32"
    # First epoch (from 0) with joined, silence_seconds and without_speech: earlier than a model aligns, they keep it
    # from doing so.
    joined_from_epoch: Annotated[int, Field(ge=0)] = 0
    # Augmented copies of an epoch. Later epochs hear them again, and what the teacher said of them is kept on disk.
    augmentation_copies: PositiveInt | None = None
    unlabelled: bool = False  # hear the corpus' unlabelled audio as well as train; only the teacher knows what it says

    def with_overrides(self, own: Section) -> TrainingConfig:
        """These settings with the keys that a member sets (``TrainingOverrides``) over them."""
        return TrainingConfig(**{**self.model_dump(), **own.model_dump(exclude_none=True)})


TrainingOverrides = overrides_of(TrainingConfig)
