"""What every model is: a record, an encoder and a head.

Shapes: ``B`` batch, ``N`` samples, ``M`` channels of the features, such as mel bands, ``T`` frames, ``D`` width, ``V``
vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from diminuendo.config.base import Section
from diminuendo.data.batches import Batch
from diminuendo.features.frontend import Frontend
from diminuendo.models.head import Head
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import Structure


class SpeechModel(nn.Module, ABC):
    """Waveforms to what the head says. The layers that :meth:`structure` names stand in one ``nn.ModuleList``."""

    record: ModelRecord
    frontend: Frontend

    @property
    def hears(self) -> Section | None:
        """What decides, beside the frontend's settings, which features it is given of a waveform."""
        return None

    @property
    def longest_text(self) -> int | None:
        """Tokens of the longest text that it can learn from; None: it reads no texts, and any length will do."""
        return None

    @property
    def longest_audio(self) -> int | None:
        """Samples of the longest audio that it hears to its end; None: any length."""
        return None

    @property
    @abstractmethod
    def head(self) -> Head:
        """What turns the last states into tokens, and how it learns to."""

    @abstractmethod
    def structure(self) -> Structure:
        """What techniques may touch."""

    @abstractmethod
    def embed(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B, M, T']`` and valid frames ``[B]`` to the first layer's input ``[B, T, D]`` and its own."""

    @abstractmethod
    def encode(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Log-probabilities ``[B, T, V]``, valid frames ``[B]`` and the output of every layer ``[B, T, D]``."""

    def respond(self, features_BMT: Tensor, frames: Tensor, batch: Batch) -> tuple[Tensor, ...]:
        """What it says while it learns: that of :meth:`encode`.

        A model that reads its own text as it writes it is given the text of the batch. Where the rows of its
        log-probabilities are no frames, a fourth value has the valid frames of its states ``[B]``.
        """
        return self.encode(features_BMT, frames)

    def transcribe(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens that it writes of waveforms ``[B, N]``, concatenated, and their number ``[B]``, on the host."""
        return self.head.greedy(*self(waveform, lengths))

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms ``[B, N]`` and lengths ``[B]`` to log-probabilities ``[B, T, V]`` and valid frames ``[B]``."""
        log_probs, frames, _ = self.encode(*self.frontend(waveform, lengths))
        return log_probs, frames


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
