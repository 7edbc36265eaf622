"""What the records of Transformer encoders share (Vaswani et al. 2017): a layer is attention and a feed-forward."""

from __future__ import annotations

from typing import ClassVar

from diminuendo.config.base import PositiveInt
from diminuendo.models.layered_record import AnyLayerRecord, LayeredRecord, Width


class LayerRecord(AnyLayerRecord):
    """Widths of one Transformer layer."""

    heads: Width
    head_width: PositiveInt
    feed_forward: Width


class TransformerLayersRecord(LayeredRecord):
    """Widths of all layers; a family adds what stands before them."""

    MODULES: ClassVar = {"attention": "heads", "feed_forward": "feed_forward"}

    layers: tuple[LayerRecord, ...]
