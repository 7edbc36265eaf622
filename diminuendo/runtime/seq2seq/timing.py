"""When each token was said, from where the decoder looked in the audio.

Heads that were chosen for it look at the frames of the word that they are writing. Their weights are made comparable
(each frame has mean 0 and deviation 1 over the tokens), smoothed by a median over neighbouring frames, averaged, and
the tokens are laid along the frames in their order so that the sum under the path is largest: dynamic time warping
(Sakoe and Chiba 1978).

Shapes: ``A`` heads, ``L`` tokens, ``T`` frames.
"""

from __future__ import annotations

import numpy as np

MEDIAN_FRAMES = 7  # of which the median is taken


def begins_of(weights: np.ndarray, frames: int) -> np.ndarray:
    """The first frame int64 [L] of each token, and thereby the end of the one before it.

    Args:
        weights: float32 [A, L, T].
        frames: that hold audio; the others are silence that was added.
    """
    frames = max(1, min(frames, weights.shape[2]))
    if weights.shape[1] < 2:
        return np.zeros(weights.shape[1], dtype=np.int64)
    gain = np.zeros((weights.shape[1], frames))
    for head in weights[:, :, :frames]:  # one by one: each fits into a cache
        heard = head / np.maximum(head.sum(axis=-1, keepdims=True), 1e-9)
        gain += smooth((heard - heard.mean(axis=0)) / np.maximum(heard.std(axis=0), 1e-9), MEDIAN_FRAMES)
    return best_begins(gain)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """The median of ``width`` neighbours, an odd number, along the last axis, which is mirrored at its ends."""
    half, T = width // 2, values.shape[-1]
    if half >= T:
        return values
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(half, half)], mode="reflect")
    waiting = [padded[..., at : at + T] for at in range(width)]
    # Of any half of the values and two more, neither the lowest nor the highest is the median of all.
    kept, waiting = waiting[: half + 2], waiting[half + 2 :]
    while len(kept) > 1:
        for at in range(len(kept) - 1):
            kept[at : at + 2] = np.minimum(*kept[at : at + 2]), np.maximum(*kept[at : at + 2])
        for at in range(len(kept) - 2, 0, -1):
            kept[at - 1 : at + 1] = np.minimum(*kept[at - 1 : at + 1]), np.maximum(*kept[at - 1 : at + 1])
        kept = kept[1:-1] + waiting[:1]
        waiting = waiting[1:]
    return kept[0]


def best_begins(gain: np.ndarray) -> np.ndarray:
    """The first frame int64 [L] of each token on the path through float64 [L, T] with the largest sum.

    Each token has a frame of its own at least, if there are as many. Silence before the first one is no part of a path.
    """
    L, T = gain.shape
    apart = L <= T
    before = np.zeros(T)  # the best sum of a path that reaches this token at this frame, without the frame itself
    first = np.empty((L, T), dtype=np.int64)  # where this token began on the best path that ends at this frame
    best = np.empty((L, T))
    for row in range(L):
        total = np.cumsum(gain[row])
        entered = before - (total - gain[row])
        highest = np.maximum.accumulate(entered)
        new = np.concatenate([[True], entered[1:] > highest[:-1]])
        first[row] = np.maximum.accumulate(np.where(new, np.arange(T), 0))
        best[row] = total + highest
        earlier = np.concatenate([[-np.inf], best[row, :-1]])
        before = earlier if apart else np.maximum(best[row], earlier)
    begins, end = np.zeros(L, dtype=np.int64), T - 1
    for row in range(L - 1, -1, -1):
        begins[row] = begin = first[row, end]
        if row:
            end = begin - 1 if apart or (begin and best[row - 1, begin - 1] > best[row - 1, begin]) else begin
    return begins
