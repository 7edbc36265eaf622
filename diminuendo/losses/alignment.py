"""A teacher's frames at a student's frame rate.

Numbers of frames are those of ``StudentOutput.frames`` and ``TeacherOutput.frames``, on the host: they decide shapes,
and every look at them on a GPU would wait for it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FLOOR = 1e-8  # of a probability whose logarithm is taken


def align_frames(x: Tensor, frames: Tensor, student_frames: Tensor, T: int) -> Tensor:
    """Bring a teacher's frames ``[B, T', X]`` to a student's frame rate ``[B, T, X]``.

    Each utterance is stretched over its own valid frames: averaged where the teacher is faster, interpolated linearly
    where it is slower. Equal rates are returned as they are.
    """
    if x.shape[1] == T and torch.equal(frames, student_frames):
        return x
    aligned = x.new_zeros(x.shape[0], T, x.shape[2])
    for b, (have, want) in enumerate(zip(frames.tolist(), student_frames.tolist())):
        source = x[b, :have].T[None]
        if have > want:
            aligned[b, :want] = F.adaptive_avg_pool1d(source, want)[0].T
        else:
            aligned[b, :want] = F.interpolate(source, size=want, mode="linear", align_corners=False)[0].T
    return aligned


def align_peaks(log_probs: Tensor, frames: Tensor, student_frames: Tensor, T: int) -> Tensor:
    """Bring a teacher's CTC posteriors ``[B, T', V]`` to a student's frame rate, ``[B, T, V]`` log-probabilities.

    CTC's posteriors are peaks between blanks (Graves et al. 2006; Zeyer et al. 2021). Where the teacher is faster,
    their mean would be half a peak and half a blank, a target under which the student is to say nothing: of the frames
    that one of the student's covers, that with the least blank is taken whole. Where it is slower, probabilities are
    interpolated.
    """
    if log_probs.shape[1] == T and torch.equal(frames, student_frames):
        return log_probs
    if (frames <= student_frames).all():
        return align_frames(log_probs.exp(), frames, student_frames, T).clamp(min=FLOOR).log()
    aligned = log_probs.new_full((log_probs.shape[0], T, log_probs.shape[2]), math.log(FLOOR))
    for b, (have, want) in enumerate(zip(frames.tolist(), student_frames.tolist())):
        said = -log_probs[b, :have, 0]
        _, peaks = F.adaptive_max_pool1d(said[None, None], want, return_indices=True)
        aligned[b, :want] = log_probs[b, peaks[0, 0]]
    return aligned
