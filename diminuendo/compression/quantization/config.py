"""What quantization is configured with: the scheme, and what it may cost."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from diminuendo.compression.member import TrainedMember
from diminuendo.config.base import Positive, PositiveInt, Section
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig

Scheme = Literal["fp16", "int8_dynamic", "int8_static", "int8_weight", "int4_weight", "mixed"]
# Of a weight, as the scheme promises; ``mixed`` has a mean of its own.
NOMINAL_BITS = {"fp16": 16, "int8_dynamic": 8, "int8_static": 8, "int8_weight": 8, "int4_weight": 4}
QUANTIZATION_AWARE_SCHEMES = ("int8_weight", "int4_weight", "mixed")
INTEGER_SCHEMES = ("int8_dynamic", "int8_static")  # of graphs without a loop
GROUP_SIZES = (16, 32, 64, 128, 256)  # of packed weights, see ``artifact.packed``
# What works on PyTorch models: without training, a shipped file is made from a shipped file.
TRAINING_PACKAGES = ("diminuendo.training", "diminuendo.losses", "diminuendo.models")


class BudgetConfig(Section):
    """What ``mixed`` may cost; give exactly one.

    Within the first two the divergence is the least, within the last the bytes are the fewest.
    """

    bytes: PositiveInt | None = None  # of the file
    bits: Annotated[float, Field(ge=2, le=8)] | None = None  # mean over the weights of all products
    kl: Positive | None = None  # divergence from the parent's posteriors on train, nats per frame, before any training

    @model_validator(mode="after")
    def _exactly_one(self):
        if sum(value is not None for value in (self.bytes, self.bits, self.kl)) != 1:
            raise ValueError("give exactly one of bytes, bits and kl")
        return self


class QuantizeConfig(TrainedMember):
    """``quantization_aware`` fine-tunes with fake quantization first; for ``*_weight`` and ``mixed``."""

    end_of_chain: ClassVar[str | None] = "quantized"

    scheme: Scheme
    group_size: PositiveInt = 128  # input channels that share a scale, below 8 bits
    calibration_utterances: PositiveInt = 64  # int8_static, mixed and error_feedback, drawn from train
    budget: BudgetConfig | None = None  # mixed: every weight in 2 to 8 bits, as many as it needs
    quantization_aware: bool = False
    # Products read weights as they are stored, in 4 or 8 bits, by ONNX Runtime's MatMulNBits (*_weight and mixed): less
    # memory, and less time where few rows are multiplied at once, as in a decoder.
    packed: bool = False
    # Of packed members: products outside of a decoder's loop, with many rows, in 8-bit integers; their weights are
    # stored in the bits of the scheme all the same.
    integer_products: bool = False
    # Convolutions over time in 8-bit integers as well (int8_dynamic). None: not said, which is false.
    integer_convolutions: bool | None = None
    # GPTQ: weights make up for each other's errors of rounding, over what calibration audio gives their products
    # (*_weight and mixed). None: not said, which is false.
    error_feedback: bool | None = None
    # Refused beyond: nats that a log-probability may differ from the parent's in the mean; None: told where it is much.
    log_prob_difference: Positive | None = None

    @property
    def trains(self) -> bool:
        return self.quantization_aware

    @property
    def unused_code(self) -> tuple[str, ...]:
        aware, mixed = self.quantization_aware, self.scheme == "mixed"
        used = {
            "bit_choice": aware,
            "calibration": mixed or self.scheme == "int8_static" or self.error_feedback,
            "error_feedback": self.error_feedback,
            "input_grams": self.error_feedback,
            "integer": self.scheme in INTEGER_SCHEMES,
            "mixed": mixed,
            "post_training": not aware and not mixed,
            "quantization_aware": aware,
            "quantization_aware_file": aware,
        }
        # Put together, since a module's whole name in a string counts as an import of it.
        own = tuple(f"{__package__}.{module}" for module, is_used in used.items() if not is_used)
        return own if aware else (*own, *TRAINING_PACKAGES)

    @model_validator(mode="after")
    def _keys_belong_together(self):
        if self.quantization_aware and self.scheme not in QUANTIZATION_AWARE_SCHEMES:
            raise ValueError(
                f"quantization_aware works with {', '.join(QUANTIZATION_AWARE_SCHEMES)}, found {self.scheme}"
            )
        if self.scheme == "mixed" and self.budget is None:
            raise ValueError("scheme mixed needs a budget: give bytes, bits or kl, such as budget: {bits: 3.5}")
        if self.scheme != "mixed" and self.budget is not None:
            raise ValueError(f"budget works with scheme mixed, found {self.scheme}")
        if not self.quantization_aware and (self.training != TrainingOverrides() or self.losses != LossConfig()):
            raise ValueError("training and losses belong to quantization_aware: true; set it, or leave them out")
        if self.quantization_aware and self.log_prob_difference is not None:
            raise ValueError("log_prob_difference works without quantization_aware: training moves weights besides")
        if self.packed and self.scheme not in QUANTIZATION_AWARE_SCHEMES:
            raise ValueError(f"packed works with {', '.join(QUANTIZATION_AWARE_SCHEMES)}, found {self.scheme}")
        if self.integer_products and not self.packed:
            raise ValueError(
                "integer_products works with packed: true; set it, or take scheme int8_dynamic for a model without a "
                "decoder"
            )
        if self.integer_convolutions and self.scheme != "int8_dynamic":
            raise ValueError(f"integer_convolutions works with int8_dynamic, found {self.scheme}")
        if self.error_feedback and (self.scheme not in QUANTIZATION_AWARE_SCHEMES or self.quantization_aware):
            raise ValueError(
                f"error_feedback works with {', '.join(QUANTIZATION_AWARE_SCHEMES)} without quantization_aware, found "
                f"{self.scheme}{' and quantization_aware' if self.quantization_aware else ''}"
            )
        if self.packed and self.group_size not in GROUP_SIZES:
            raise ValueError(f"group_size: {self.group_size}; packed weights have groups of {GROUP_SIZES} inputs")
        if self.group_size != 128 and not self.packed and self.scheme not in ("int4_weight", "mixed"):
            raise ValueError(f"group_size works with int4_weight and mixed, found {self.scheme}")
        calibrated = self.scheme in ("int8_static", "mixed") or self.error_feedback
        if self.calibration_utterances != 64 and not calibrated:
            raise ValueError(
                f"calibration_utterances works with int8_static, mixed and error_feedback, found {self.scheme}"
            )
        return self


Config = QuantizeConfig
