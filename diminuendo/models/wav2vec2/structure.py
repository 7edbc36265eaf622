"""wav2vec 2.0 and its kin as techniques see them."""

from __future__ import annotations

from diminuendo.models.structure import BiasSite, Key, Structure
from diminuendo.models.transformer_structure import layers_structure, sites_before_norms
from diminuendo.models.wav2vec2.record import PROJECTION, Wav2Vec2Record


def structure_of(record: Wav2Vec2Record) -> Structure:
    """From the record alone: it names every width."""

    def bias_sites(key: Key) -> tuple[BiasSite, ...]:
        return sites_before_norms(key, "positions.offset") if record.pre_norm else _after_norms(*key)

    return layers_structure(
        record,
        front=("feature_encoder", "projection", "positions"),
        bias_sites=bias_sites,
        linears=(PROJECTION,),
        tables=("relative.heads",) if record.relative_positions else (),
    )


def _after_norms(index: int, module: str) -> tuple[BiasSite, ...]:
    """The norm that gives the stream at this place: without the module, nothing else but the sum reads it."""
    if module == "feed_forward":
        return (BiasSite(f"layers.{index}.attention_norm"),)
    return (BiasSite(f"layers.{index - 1}.norm" if index else "positions.norm"),)
