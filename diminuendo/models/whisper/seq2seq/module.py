"""Whisper in PyTorch.

Shapes: ``B`` batch, ``N`` samples, ``M`` mel bands, ``T`` frames, ``D`` model width, ``L`` tokens, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch
from diminuendo.features.whisper_log_mel import POWER_FLOOR, RANGE, WhisperLogMel
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure
from diminuendo.models.whisper.module import EncoderLayer, Positions
from diminuendo.models.whisper.record import STRIDE
from diminuendo.models.whisper.seq2seq.decoder import Decoder
from diminuendo.models.whisper.seq2seq.head import AttentionHead
from diminuendo.models.whisper.seq2seq.record import Context, WhisperRecord
from diminuendo.models.whisper.seq2seq.structure import structure_of


class PaddedLogMel(WhisperLogMel):
    """Whisper's features of an utterance and of the silence after it, up to the frames of its context."""

    def __init__(self, record: WhisperRecord):
        super().__init__(record.frontend, record.sample_rate)
        self.context = record.context

    @torch.no_grad()
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, N]``, of which ``lengths`` ``[B]`` are heard, to features ``[B, M, T]`` and valid frames ``[B]``.

        All frames are valid, those of silence among them; there are as many as the longest utterance of the batch has.
        """
        g = self.geometry
        frames = self.context.frames(-(-waveform.shape[1] // g.hop))
        heard = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
        x = waveform * heard
        missing = frames * g.hop - x.shape[1]
        x = F.pad(x, (0, missing)) if missing > 0 else x[:, : frames * g.hop]
        mel = self.mel(x)[:, :, :frames]
        floor = (mel.amax((1, 2), keepdim=True) * RANGE).clamp(min=POWER_FLOOR)
        x = torch.maximum(mel, floor).log10_().mul_(0.25).add_(1.0)
        return x, torch.full_like(lengths, frames)


class Whisper(SpeechModel):
    """Waveforms to tokens."""

    def __init__(self, record: WhisperRecord):
        super().__init__()
        self.record = record
        self.frontend = PaddedLogMel(record)
        self.conv1 = nn.Conv1d(record.frontend.mels, record.width, 3, padding=1)
        self.conv2 = nn.Conv1d(record.width, record.width, 3, stride=STRIDE, padding=1)
        self.positions = Positions(record)
        self.dropout = nn.Dropout(record.dropout)
        self.layers = nn.ModuleList(EncoderLayer(record.width, layer, record.dropout) for layer in record.layers)
        self.norm = nn.LayerNorm(record.width)
        self.decoder = Decoder(record)

    @property
    def hears(self) -> Context:
        return self.record.context

    @property
    def longest_text(self) -> int:
        return self.record.positions - len(self.prompt)

    @property
    def longest_audio(self) -> int:
        return self.record.context.longest * self.record.frontend.hop

    @property
    def head(self) -> AttentionHead:
        return AttentionHead(self.record)

    def structure(self) -> Structure:
        return structure_of(self.record)

    def embed(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.conv2(F.gelu(self.conv1(features_BMT)))).transpose(1, 2).contiguous()
        return self.dropout(self.positions(x)), (frames - 1) // STRIDE + 1

    def heard(self, features_BMT: Tensor) -> list[Tensor]:
        """Features to the output of every layer of the encoder ``[B, T / 2, D]``, and at last that of its norm."""
        x, _ = self.embed(features_BMT, torch.empty(0))
        states = []
        for layer in self.layers:
            x = layer(x, None)
            states.append(x)
        return [*states, self.norm(x)]

    def encode(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Log-probabilities ``[B, L, V]`` along the text that it would write itself, tokens of it ``[B]``, states."""
        *states, last = self.heard(features_BMT)
        tokens, _, counts = self.write(last)
        prompt = torch.tensor(self.prompt, device=last.device).expand(len(last), -1)
        log_probs = self.decoder(torch.cat([prompt, tokens[:, :-1]], 1), last)[:, len(self.prompt) - 1 :]
        return log_probs, counts, states

    def respond(self, features_BMT: Tensor, frames: Tensor, batch: Batch) -> tuple[Tensor, ...]:
        """Log-probabilities ``[B, L, V]`` of the batch's text and its end, token by token, each after those before it.

        With them how many rows are valid ``[B]``, the states of the encoder, and how many frames of those are audio
        ``[B]``: of the silence up to the context nothing is to be learned.

        Raises:
            UserError: an utterance has no text, or one that is too long.
        """
        if not batch.labelled.all():
            raise UserError(
                "training.unlabelled: a model that writes token after token learns from texts; set it false"
            )
        *states, last = self.heard(features_BMT)
        texts = batch.targets.split(batch.target_lengths.tolist())
        prompt, most = len(self.prompt), int(batch.target_lengths.max())
        if most > self.longest_text:
            raise UserError(
                f"a text of {most} tokens; this model reads {self.longest_text} at most: leave it out, or "
                "split its recording"
            )
        read = last.new_full((len(texts), prompt + most), self.record.special.end, dtype=torch.long)
        read[:, :prompt] = torch.tensor(self.prompt, device=last.device)
        for row, text in zip(read, texts):
            row[prompt : prompt + len(text)] = text
        log_probs = self.decoder(read, last)[:, prompt - 1 :]
        heard = self.frontend.frames(batch.lengths).clamp(max=frames)
        rows = batch.target_lengths.to(last.device) + 1
        return log_probs, rows, states, (heard - 1) // STRIDE + 1

    def transcribe(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tokens, _, counts = self.write(self.heard(self.frontend(waveform, lengths)[0])[-1])
        tokens, counts = tokens.cpu(), counts.cpu()
        return torch.cat([row[:count] for row, count in zip(tokens, counts.tolist())]), counts

    def forward(self, waveform: Tensor, lengths: Tensor, max_tokens: int | None = None) -> tuple[Tensor, Tensor]:
        """Waveforms ``[B, N]`` and lengths ``[B]`` to log-probabilities ``[B, L]`` of the tokens written, and ``[B]``.

        The second is how many there are of each.
        """
        _, log_probs, counts = self.write(self.heard(self.frontend(waveform, lengths)[0])[-1], most=max_tokens)
        return log_probs, counts

    @property
    def prompt(self) -> tuple[int, ...]:
        """What a text begins with where nobody says otherwise."""
        special = self.record.special
        return special.prompt(special.default_language)

    @torch.no_grad()
    def write(
        self, states_BTD: Tensor, prompt: Sequence[int] | None = None, most: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest token after the other, until every utterance has ended.

        Args:
            states_BTD: the last of :meth:`heard`.
            prompt: tokens that the text begins with; None: :attr:`prompt`.
            most: tokens of a text; None: as many as Whisper writes.
        Returns:
            tokens ``[B, L]``, filled up with ``end``, their log-probabilities ``[B, L]``, that of the first ``end``
            among them, and how many tokens there are of each utterance ``[B]``, without the ``end``.
        """
        record, B, device = self.record, len(states_BTD), states_BTD.device
        special = record.special
        prompt = self.prompt if prompt is None else prompt
        most = min(record.most_tokens if most is None else most, record.positions + 1 - len(prompt))
        barred = torch.zeros(record.vocabulary, device=device)
        barred[list(special.suppressed)] = -torch.inf
        first = barred.clone()
        first[list(special.suppressed_first)] = -torch.inf
        audio, pasts = self.decoder.audio(states_BTD), [[] for _ in self.decoder.layers]
        given = torch.tensor(list(prompt), device=device).expand(B, -1)
        ended, counts = torch.zeros(B, dtype=torch.bool, device=device), torch.zeros(B, dtype=torch.long, device=device)
        tokens, values, read = [], [], 0
        while len(tokens) < most and not ended.all():
            state = self.decoder.states(given, audio, pasts, read)[-1][:, -1:]
            read += given.shape[1]
            scores = self.decoder.scores(state)[:, 0].float() + (barred if tokens else first)
            value, token = scores.log_softmax(-1).max(-1)
            token = torch.where(ended, special.end, token)
            tokens.append(token)
            values.append(torch.where(ended, 0.0, value))
            ended = token == special.end
            counts += ~ended
            given = token[:, None]
        return torch.stack(tokens, 1), torch.stack(values, 1), counts
