"""The record of the Transformer, and its structure, which follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from diminuendo.config.base import PositiveInt, Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import ATTENTION, FEED_FORWARD, BiasSite, Key, Structure, UnitGroup

SIZES = {"mixer": "heads", "mlp": "inner"}  # module of a block to the key of its units
WRITERS = {"mixer": ("q", "k", "v"), "mlp": ("fc1",)}
READERS = {"mixer": "proj", "mlp": "fc2"}


class BlockRecord(Section):
    """Widths of one block; 0: the module is not there."""

    heads: int
    head_width: PositiveInt
    inner: int
    ranks: dict[str, PositiveInt] = {}


class TransformerRecord(ModelRecord):
    kind: Literal["transformer-of-the-tests"] = "transformer-of-the-tests"
    frontend: FrontendConfig
    width: PositiveInt
    stride: PositiveInt
    blocks: tuple[BlockRecord, ...]

    @property
    def feature_channels(self) -> int:
        return self.frontend.mels

    @property
    def frame_seconds(self) -> float:
        return round(self.frontend.hop_seconds * self.sample_rate) * self.stride / self.sample_rate

    def frames_of(self, seconds: float) -> tuple[int, int]:
        features = max(1, round(seconds / self.frontend.hop_seconds))
        return features, -(-features // self.stride)

    @property
    def layer_count(self) -> int:
        return len(self.blocks)

    def with_layers(self, kept: Sequence[int]) -> TransformerRecord:
        return self.model_copy(update={"blocks": tuple(self.blocks[index] for index in kept)})

    def with_units(self, counts: Mapping[Key, int]) -> TransformerRecord:
        blocks = list(self.blocks)
        for (index, module), count in counts.items():
            ranks = {n: r for n, r in blocks[index].ranks.items() if count or not n.startswith(f"{module}.")}
            blocks[index] = blocks[index].model_copy(update={SIZES[module]: count, "ranks": ranks})
        return self.model_copy(update={"blocks": tuple(blocks)})

    def with_ranks(self, ranks: Mapping[str, int | None]) -> TransformerRecord:
        blocks = list(self.blocks)
        for path, rank in ranks.items():
            _, _, index, name = path.split(".", 3)
            known = {n: r for n, r in blocks[int(index)].ranks.items() if n != name}
            blocks[int(index)] = blocks[int(index)].model_copy(
                update={"ranks": known if rank is None else known | {name: rank}}
            )
        return self.model_copy(update={"blocks": tuple(blocks)})

    def with_width(self, width: int) -> TransformerRecord:
        return self.model_copy(update={"width": width})


def structure_of(record: TransformerRecord) -> Structure:
    groups = {}
    for index, block in enumerate(record.blocks):
        for module, size in SIZES.items():
            if getattr(block, size):
                path, attention = f"encoder.blocks.{index}.{module}", module == "mixer"
                # Pre-norm: a block ends with a sum, and what stands before it is the reader of the block before.
                sites = (
                    [BiasSite(f"encoder.blocks.{index}.mixer.proj", group=(index, "mixer"))] if not attention else []
                )
                for earlier in reversed(range(index)):
                    sites += [
                        BiasSite(f"encoder.blocks.{earlier}.{m}.{READERS[m]}", group=(earlier, m))
                        for m in ("mlp", "mixer")
                    ]
                groups[index, module] = UnitGroup(
                    key=(index, module),
                    path=path,
                    kind="heads" if attention else "feed_forward",
                    count=getattr(block, size),
                    width=block.head_width if attention else 1,
                    writers=tuple(f"{path}.{name}" for name in WRITERS[module]),
                    reader=f"{path}.{READERS[module]}",
                    bias_sites=(*sites, BiasSite("encoder.stem")),
                    operator=ATTENTION if attention else FEED_FORWARD,
                    attends=attention,
                )
    return Structure(
        layers=tuple(f"encoder.blocks.{index}" for index in range(len(record.blocks))),
        groups=groups,
        modules=SIZES,
        linears=tuple(path for group in groups.values() for path in group.products),
        output="to_tokens",
        width=record.width,
        front=("encoder.stem",),
    )
