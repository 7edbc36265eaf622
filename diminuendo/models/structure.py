"""What a technique may touch of a model: its layers, its groups of units, its linear products.

Techniques are written against this description alone, so that each is written once for every family of models. Paths
are those of modules in the PyTorch model, which are also the prefixes of names in its ``state_dict``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Key = tuple[int, str]  # a group of units: the number of its layer, and the name of its module in the layer

# What the operator that a module is written as costs; see ``compression.pruning.cost.Prices``.
ATTENTION, FEED_FORWARD, CONVOLUTION = "attention", "feed_forward", "convolution"


@dataclass(frozen=True)
class BiasSite:
    """Where the constant output of a removed module can go: to the bias at ``path``, added with weight ``scale``.

    ``group``: the site is there only while this group has units; None: always.
    """

    path: str
    scale: float = 1.0
    group: Key | None = None


@dataclass(frozen=True)
class UnitGroup:
    """Units of one kind in one module: attention heads, inner channels of a feed-forward, convolution channels.

    Attributes:
        key: layer and module.
        path: of the module.
        kind: of unit, as ``structured`` pruning names it (``heads``, ``feed_forward``, ``convolution``).
        count: units.
        width: neighbouring rows that make up one unit, such as the width of a head.
        writers: paths of the linear products whose outputs the units are.
        reader: path of the linear product whose inputs they are.
        between: paths of modules that hold values for each row, along the first axis of their tensors.
        residual: weight with which the module's output is added to the stream.
        bias_sites: where the reader's bias goes when the module is removed, the nearest first.
        operator: what the module costs by, one of the constants above.
        row_macs: multiply-accumulates for each row and frame beside the linear products.
        attends: every frame is compared with every other, twice for each row.
        tables: paths of modules that hold values for each unit, along the first axis of their tensors.
    """

    key: Key
    path: str
    kind: str
    count: int
    width: int
    writers: tuple[str, ...]
    reader: str
    bias_sites: tuple[BiasSite, ...]
    operator: str
    between: tuple[str, ...] = ()
    residual: float = 1.0
    row_macs: int = 0
    attends: bool = False
    tables: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.count * self.width

    @property
    def products(self) -> tuple[str, ...]:
        """Writers and reader."""
        return (*self.writers, self.reader)


@dataclass(frozen=True)
class Structure:
    """A model as techniques see it.

    Attributes:
        layers: path of each layer of the encoder; they are alike in what they take and give.
        groups: every group of units that is there, in the order of the forward pass.
        modules: name of a layer's module to the name of its number of units in tables, whether it is there or not.
        linears: paths of the linear products that may be factorised.
        output: path of the linear product that gives the tokens.
        width: of the stream between layers.
        front: paths of the modules before the layers, those of the frontend among them if they are trained.
        front_is_product: what stands before the layers is one matrix product, rather than convolutions.
        decoder_layers: path of each layer of the decoder, where there is one.
        batch_norms: path of a convolution to that of the batch normalisation that is folded into it when it is stored.
    """

    layers: tuple[str, ...]
    groups: dict[Key, UnitGroup]
    modules: dict[str, str]
    linears: tuple[str, ...]
    output: str
    width: int
    front: tuple[str, ...] = ()
    front_is_product: bool = True
    decoder_layers: tuple[str, ...] = ()
    batch_norms: dict[str, str] = field(default_factory=dict)
