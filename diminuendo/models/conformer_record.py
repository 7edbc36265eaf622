"""What the records of Conformers share, layer by layer, whatever they hear and however their attention knows positions.

A Conformer's layer is a half feed-forward, attention, a convolution module and another half feed-forward (Gulati et al.
2020).
"""

from __future__ import annotations

from typing import ClassVar

from diminuendo.config.base import PositiveInt
from diminuendo.models.layered_record import AnyLayerRecord, LayeredRecord, Width

SUBSAMPLING = "subsampling.out"  # path of its linear product


class LayerRecord(AnyLayerRecord):
    """Widths of one Conformer layer."""

    heads: Width
    head_width: PositiveInt
    feed_forward_1: Width
    feed_forward_2: Width
    convolution: Width  # channels
    kernel: PositiveInt


class ConformerLayersRecord(LayeredRecord):
    """Widths of all layers, and of what stands before them."""

    MODULES: ClassVar = {
        "feed_forward_1": "feed_forward_1",
        "attention": "heads",
        "convolution": "convolution",
        "feed_forward_2": "feed_forward_2",
    }
    RANKS: ClassVar = {SUBSAMPLING: "subsampling_rank"}

    subsampling: PositiveInt  # feature frames per encoder frame
    subsampling_channels: Width
    layers: tuple[LayerRecord, ...]
    subsampling_rank: PositiveInt | None = None
