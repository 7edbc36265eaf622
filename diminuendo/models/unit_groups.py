"""Groups of units as the layers of all families have them: heads of attention, inner channels of a feed-forward.

Both are in the layer of their key, ``layers.<index>``, and have the products that
:class:`~diminuendo.models.attention.SelfAttention` and :class:`~diminuendo.models.feed_forward.FeedForward` have.
"""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.models.structure import ATTENTION, FEED_FORWARD, BiasSite, Key, UnitGroup

ATTENTION_READER, FEED_FORWARD_READER = "out", "down"  # names of the products whose inputs the units are


def path_of(key: Key) -> str:
    """Of the module that holds the group."""
    index, module = key
    return f"layers.{index}.{module}"


def within(path: str, names: Sequence[str]) -> tuple[str, ...]:
    """Paths of what has these names in the module at ``path``."""
    return tuple(f"{path}.{name}" for name in names)


def attention_group(
    key: Key,
    heads: int,
    head_width: int,
    bias_sites: tuple[BiasSite, ...],
    between: Sequence[str] = (),
    tables: Sequence[str] = (),
    row_macs: int = 0,
) -> UnitGroup:
    """Heads; names of ``between`` and ``tables`` are those of modules of the attention."""
    path = path_of(key)
    return UnitGroup(
        key=key,
        path=path,
        kind="heads",
        count=heads,
        width=head_width,
        writers=within(path, ("query", "key", "value")),
        reader=f"{path}.{ATTENTION_READER}",
        between=within(path, between),
        bias_sites=bias_sites,
        operator=ATTENTION,
        row_macs=row_macs,
        attends=True,
        tables=within(path, tables),
    )


def feed_forward_group(key: Key, channels: int, bias_sites: tuple[BiasSite, ...], residual: float = 1.0) -> UnitGroup:
    """Inner channels; ``residual``: see :class:`UnitGroup`."""
    path = path_of(key)
    return UnitGroup(
        key=key,
        path=path,
        kind="feed_forward",
        count=channels,
        width=1,
        writers=within(path, ("up",)),
        reader=f"{path}.{FEED_FORWARD_READER}",
        bias_sites=bias_sites,
        operator=FEED_FORWARD,
        residual=residual,
    )
