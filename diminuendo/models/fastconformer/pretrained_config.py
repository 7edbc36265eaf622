"""What the configuration of a Parakeet checkpoint may say: ``config.json`` and ``preprocessor_config.json``.

A key that is left out has the value that ``transformers`` gives it. A key that could change what the model computes,
and that this family does not know, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from diminuendo.config.base import Fraction, Hertz, Section
from diminuendo.core.errors import UserError
from diminuendo.models.foreign_config import CONFIG, MOST, MOST_LAYERS, PREPROCESSOR

ENCODER = "encoder_config"
Size = Annotated[int, Field(gt=0, le=MOST)]

# Of training, or of the tool that wrote the file: they change nothing that a trained encoder computes.
WITHOUT_EFFECT = frozenset(
    [
        "_attn_implementation",
        "_name_or_path",
        "activation_dropout",
        "architectures",
        "attention_dropout",
        "bos_token_id",
        "chunk_size_feed_forward",
        "ctc_loss_reduction",
        "ctc_zero_infinity",
        "dropout_positions",
        "dtype",
        "eos_token_id",
        "id2label",
        "initializer_range",
        "is_decoder",
        "is_encoder_decoder",
        "label2id",
        "layerdrop",
        "max_position_embeddings",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "sep_token_id",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    ]
)
# Beside the encoder: of a CTC head, which only the vocabulary describes, and of transducers, which are not taken over.
OF_HEADS = frozenset(
    [
        "blank_token_id",
        "decoder_hidden_size",
        "durations",
        "encoder_config",
        "hidden_act",
        "max_symbols_per_step",
        "num_decoder_layers",
        "vocab_size",
    ]
)
# Padding of a batch, of which the features of an utterance say nothing.
OF_BATCHES = frozenset(["padding_side", "padding_value", "processor_class", "return_attention_mask"])


class Encoder(Section):
    """The section of ``config.json`` that says what the encoder is."""

    hidden_size: Size = 1024
    num_hidden_layers: Annotated[int, Field(gt=0, le=MOST_LAYERS)] = 24
    num_attention_heads: Size = 8
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    intermediate_size: Size = 4096
    hidden_act: Literal["silu", "swish"] = "silu"
    attention_bias: bool = True  # of the feed-forwards as well
    convolution_bias: bool = True
    conv_kernel_size: Size = 9
    subsampling_factor: Size = 8
    subsampling_conv_channels: Size = 256
    subsampling_conv_kernel_size: Size = 3
    subsampling_conv_stride: Annotated[int, Field(ge=2, le=MOST)] = 2
    num_mel_bins: Size = 80
    scale_input: bool = True
    dropout: Fraction = 0.1

    @model_validator(mode="after")
    def _supported(self):
        for key in ("conv_kernel_size", "subsampling_conv_kernel_size"):
            if getattr(self, key) % 2 == 0:
                raise ValueError(f"{key}: {getattr(self, key)} is not supported, expected an odd number")
        if self.num_key_value_heads not in (None, self.num_attention_heads):
            raise ValueError(
                f"num_key_value_heads: {self.num_key_value_heads} is not supported, expected as many as "
                f"num_attention_heads ({self.num_attention_heads})"
            )
        if self.subsampling_factor < 2 or self.subsampling_factor.bit_count() != 1:
            raise ValueError(f"subsampling_factor: {self.subsampling_factor} is not supported, expected 2, 4, 8, …")
        if self.num_mel_bins % self.subsampling:
            raise ValueError(
                f"num_mel_bins: {self.num_mel_bins} is not supported, expected a multiple of {self.subsampling}, by "
                "which the convolutions before the layers divide them"
            )
        if self.head_width < 1:
            raise ValueError(
                f"num_attention_heads: {self.num_attention_heads} is more than hidden_size ({self.hidden_size})"
            )
        return self

    @property
    def convolutions(self) -> int:
        """Strided convolutions before the layers; ``subsampling_factor`` takes the stride of each to be 2."""
        return self.subsampling_factor.bit_length() - 1

    @property
    def subsampling(self) -> int:
        """Feature frames per encoder frame."""
        return self.subsampling_conv_stride**self.convolutions

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads


class Preprocessor(Section):
    """``preprocessor_config.json``."""

    feature_extractor_type: Literal["ParakeetFeatureExtractor"] = "ParakeetFeatureExtractor"
    feature_size: Size | None = None  # the encoder's, if it is not there
    sampling_rate: Hertz = 16000
    n_fft: Size = 512
    win_length: Size = 400
    hop_length: Size = 160
    preemphasis: Fraction | None = 0.97


def encoder_of(config: Mapping[str, Any]) -> Encoder:
    """The encoder that ``config.json`` describes; its raises are those of :func:`_checked`."""
    if config.get("model_type") == "parakeet_encoder":
        return _checked(Encoder, config, CONFIG, "", WITHOUT_EFFECT)
    section = config.get(ENCODER)
    if not isinstance(section, Mapping):
        raise UserError(f"{CONFIG}: {ENCODER}: {section!r:.60} was found, expected the section of the encoder")
    if unknown := sorted(set(config) - WITHOUT_EFFECT - OF_HEADS):
        raise UserError(_unknown(CONFIG, unknown[0], config[unknown[0]]))
    return _checked(Encoder, section, CONFIG, f"{ENCODER}.", WITHOUT_EFFECT)


def preprocessor_of(preprocessor: Mapping[str, Any], encoder: Encoder) -> Preprocessor:
    """What ``preprocessor_config.json`` says, which may be empty; raises ``UserError`` if it does not fit."""
    found = _checked(Preprocessor, preprocessor, PREPROCESSOR, "", OF_BATCHES)
    if found.feature_size not in (None, encoder.num_mel_bins):
        raise UserError(
            f"{PREPROCESSOR}: feature_size: {found.feature_size} was found, expected the {encoder.num_mel_bins} of "
            f"num_mel_bins in {CONFIG}"
        )
    if found.win_length > found.n_fft:
        raise UserError(
            f"{PREPROCESSOR}: win_length: {found.win_length} was found, expected at most n_fft ({found.n_fft})"
        )
    return found


Checked = TypeVar("Checked", bound=Section)


def _checked(
    section: type[Checked], given: Mapping[str, Any], file: str, within: str, without_effect: frozenset[str]
) -> Checked:
    """Raises ``UserError`` for a key that is not known, and for a value that is not supported."""
    try:
        known = {key: value for key, value in given.items() if key not in without_effect}
        return section.model_validate(known, strict=True)  # the text "64" is no size, and true is none
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # of several keys
            raise UserError(f"{file}: {within}{first['ctx']['error']}") from None
        key, value = first["loc"][0], first["input"]
        if first["type"] == "extra_forbidden":
            raise UserError(_unknown(file, f"{within}{key}", value)) from None
        raise UserError(f"{file}: {within}{key}: {value!r:.60} is not supported: {first['msg'].lower()}") from None


def _unknown(file: str, key: str, value: Any) -> str:
    return (
        f"{file}: {key}: {value!r:.60} was found, and nothing is known here of such a key, which may change what the "
        "model computes; remove it if it does not"
    )
