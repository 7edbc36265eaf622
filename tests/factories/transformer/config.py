"""The architecture section of the Transformer, as ``params.yaml`` would hold it."""

from __future__ import annotations

from typing import ClassVar, Literal

from diminuendo.config.base import PositiveInt, Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.models.knowledge import CTC_GIVES, Knowledge
from tests.factories.transformer.record import BlockRecord, TransformerRecord


class TransformerConfig(Section):
    """A uniform Transformer."""

    gives: ClassVar[Knowledge] = CTC_GIVES

    kind: Literal["transformer-of-the-tests"] = "transformer-of-the-tests"
    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    head_width: PositiveInt
    inner: PositiveInt
    stride: PositiveInt = 2


def record_of(
    config: TransformerConfig, frontend: FrontendConfig, sample_rate: int, vocabulary: int
) -> TransformerRecord:
    block = BlockRecord(heads=config.heads, head_width=config.head_width, inner=config.inner)
    return TransformerRecord(
        sample_rate=sample_rate,
        frontend=frontend,
        vocabulary=vocabulary,
        width=config.width,
        stride=config.stride,
        blocks=(block,) * config.layers,
    )
