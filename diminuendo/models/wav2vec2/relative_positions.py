"""Gated relative position bias (Chi et al. 2022), as WavLM has it.

Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``H`` heads, ``E`` width of a head, ``S`` slices of the width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diminuendo.models.kernels import Linear
from diminuendo.models.wav2vec2.record import RelativePositionsRecord


def bucket_edges(record: RelativePositionsRecord) -> list[int]:
    """The smallest distance of every bucket that holds more than one, but for the first of them; in ascending order."""
    exact, larger = record.exact, record.half - record.exact
    distances = torch.arange(exact, record.max_distance + 1)
    # In float32, in which the foreign models were trained: in between, a distance may fall into the next bucket.
    grown = torch.log(distances.float() / exact) / math.log(record.max_distance / exact) * larger
    return distances[torch.searchsorted(grown.long(), torch.arange(1, larger))].tolist()


def distance_buckets(T: int, record: RelativePositionsRecord, device=None) -> Tensor:
    """The bucket of every key's distance from every query, int64 ``[T, T]``."""
    positions = torch.arange(T, device=device)
    ahead = positions[None, :] - positions[:, None]
    distance = ahead.abs()
    edges = torch.tensor(bucket_edges(record), device=device)
    bucket = distance.clamp(max=record.exact) + torch.bucketize(distance, edges, right=True)
    return bucket + (ahead > 0) * record.half


class HeadTables(nn.Module):
    """What is of one head each, along the first axis, so that heads can be left out.

    ``slices`` are places of the stream's channels, ``[H]``: a head's gate looks at as many channels as the head is
    wide, and at which is fixed by its place in the unpruned model.
    """

    def __init__(self, heads: int, buckets: int):
        super().__init__()
        self.table = nn.Parameter(torch.empty(heads, buckets).normal_(std=0.02))
        self.constant = nn.Parameter(torch.ones(heads))
        self.register_buffer("slices", torch.arange(heads))


class RelativePositions(nn.Module):
    """A bias for every head, query and key: the distance's, times a gate that the query's frame opens."""

    def __init__(self, heads: int, head_width: int, buckets: int):
        super().__init__()
        self.head_width = head_width
        self.heads = HeadTables(heads, buckets)
        self.gate = Linear(head_width, 2)

    def chosen(self, slices: int) -> Tensor:
        """The slice that each head's gate looks at, of so many, ``[H]``; those that a narrower stream lacks begin
        anew."""
        return self.heads.slices % slices

    def forward(self, x_BTD: Tensor, buckets_TT: Tensor) -> Tensor:
        """``[B, T, D]`` and buckets ``[T, T]`` to ``[B, H, T, T]``."""
        S = x_BTD.shape[2] // self.head_width
        parts = x_BTD[..., : S * self.head_width].unflatten(2, (S, self.head_width))
        opened = torch.sigmoid(self.gate(parts))[:, :, self.chosen(S)]  # [B, T, H, 2]
        gate = opened[..., 0] * (opened[..., 1] * self.heads.constant - 1) + 2
        return gate.transpose(1, 2)[..., None] * self.heads.table[:, buckets_TT]
