"""What every frontend is: waveforms in, features out.

Shapes: ``B`` batch, ``N`` samples, ``M`` channels of the features, such as mel bands, ``T`` frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Frontend(nn.Module, ABC):
    """Waveforms to features; what of it is learned, if anything, are its parameters."""

    @abstractmethod
    def frames(self, lengths: Tensor) -> Tensor:
        """Valid frames in so many samples, ``[B] → [B]``, wherever ``lengths`` are."""

    @abstractmethod
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms ``[B, N]``, −1 to 1, and valid samples ``[B]`` to features ``[B, M, T]`` and valid frames ``[B]``.

        Features are zero beyond each utterance's end.
        """
