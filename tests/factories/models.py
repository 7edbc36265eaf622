"""Tiny models, and a corpus in memory whose letters are tones, small enough to be learned in a second or two."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diminuendo.config.frontend import FrontendConfig
from diminuendo.config.training import AugmentationConfig, TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.text import CharacterTokenizer, Tokenizer
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.record import ConformerRecord
from diminuendo.models.conformer_record import LayerRecord

torch.set_num_threads(1)

SAMPLE_RATE = 4000
TONES = {"a": 300.0, "b": 700.0, "c": 1100.0, "d": 1500.0}
LETTER_SECONDS = 0.1
FRONTEND = FrontendConfig(mels=12, window_seconds=0.032, hop_seconds=0.016, low_hz=50.0, high_hz=1900.0)
TEXTS = ("ab cd", "ba dc", "abc d", "cab", "dab", "bad cab", "cd ab", "dc ba")

NO_AUGMENTATION = AugmentationConfig(
    speed=(1.0,),
    noise_probability=0.0,
    noise_snr_db=(10.0, 30.0),
    gain_db=(0.0, 0.0),
    time_masks=0,
    time_mask_fraction=0.0,
    mel_masks=0,
    mel_mask_bands=0,
)
AUGMENTATION = AugmentationConfig(
    speed=(0.9, 1.0, 1.1),
    noise_probability=0.5,
    noise_snr_db=(10.0, 30.0),
    gain_db=(-6.0, 6.0),
    time_masks=1,
    time_mask_fraction=0.1,
    mel_masks=1,
    mel_mask_bands=3,
)


def tiny_training(**keys) -> TrainingConfig:
    """A few steps; any key may be given."""
    defaults = {
        "epochs": 2,
        "batch_seconds": 1.5,
        "learning_rate": 0.003,
        "final_learning_rate": 0.0001,
        "warmup_fraction": 0.1,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "ema_decay": 0.9,
        "dev_every": 1,
        "checkpoint_every": 2,
        "augmentation": AUGMENTATION,
    }
    return TrainingConfig(**{**defaults, **keys})


def tiny_layer(**widths) -> LayerRecord:
    defaults = {"heads": 2, "head_width": 4, "feed_forward_1": 12, "feed_forward_2": 10, "convolution": 8, "kernel": 5}
    return LayerRecord(**{**defaults, **widths})


def tiny_record(layers: int | tuple[LayerRecord, ...] = 2, **keys) -> ConformerRecord:
    """A model of about a thousand weights per layer for :class:`ToneCorpus`."""
    defaults = {
        "sample_rate": SAMPLE_RATE,
        "frontend": FRONTEND,
        "subsampling": 2,
        "subsampling_channels": 3,
        "width": 8,
        "dropout": 0.0,
        "vocabulary": 2 + len(TONES),
        "layers": (tiny_layer(),) * layers if isinstance(layers, int) else layers,
    }
    return ConformerRecord(**{**defaults, **keys})


def tiny_model(layers: int | tuple[LayerRecord, ...] = 2, *, seed: int = 0, **keys) -> ConformerCTC:
    """Untrained, in evaluation mode, with norms and running statistics that are not those of a fresh layer."""
    torch.manual_seed(seed)
    model = ConformerCTC(tiny_record(layers, **keys))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.3, 2.0)
    return model.eval()


def speech_batch(sample_rate: int = SAMPLE_RATE, seconds: tuple[float, ...] = (0.5, 0.8), seed: int = 0):
    """Zero-padded noise ``[B, N]`` and its lengths ``[B]``."""
    rng = np.random.default_rng(seed)
    lengths = torch.tensor([round(s * sample_rate) for s in seconds])
    waveform = torch.zeros(len(seconds), int(lengths.max()))
    for row, length in zip(waveform, lengths.tolist()):
        row[:length] = torch.from_numpy(0.1 * rng.standard_normal(length)).float()
    return waveform, lengths


@dataclass(frozen=True)
class Tones:
    """An utterance whose letters are tones of a tenth of a second."""

    id: str
    text: str
    duration: float
    speaker: str | None = None


class ToneCorpus:
    """As much of ``PreparedCorpus`` as training and scoring need, without a disk.

    Args:
        tokenizer: the corpus' own; None: a token for each letter.
        teachers: that of a pretrained teacher that writes other tokens.
    """

    lowercase = True

    def __init__(
        self,
        train: tuple[str, ...] = TEXTS,
        dev: tuple[str, ...] = TEXTS[:3],
        test: tuple[str, ...] = TEXTS[3:6],
        *,
        tokenizer: Tokenizer | None = None,
        teachers: Tokenizer | None = None,
    ):
        self.sample_rate = SAMPLE_RATE
        self.tokenizer = tokenizer or CharacterTokenizer.train(["".join(TONES)])
        self.tokenizers = [self.tokenizer, *([teachers] if teachers else [])]
        self.unlabelled: list[Tones] = []
        self.train, self.dev, self.test = (
            self._split(*split) for split in (("train", train), ("dev", dev), ("test", test))
        )

    @property
    def tokens(self) -> list[str]:
        return self.tokenizer.tokens

    def spelling(self, tokens: Sequence[str]) -> ToneCorpus:
        found = [tokenizer for tokenizer in self.tokenizers if tokenizer.tokens == list(tokens)]
        if not found:
            raise UserError(f"has no tokenizer of the {len(tokens)} tokens")
        view = copy(self)
        view.tokenizer = found[0]
        return view

    @staticmethod
    def _split(name: str, texts: tuple[str, ...]) -> list[Tones]:
        return [Tones(f"{name}-{i}", text, round(LETTER_SECONDS * len(text), 6)) for i, text in enumerate(texts)]

    def audio(self, utterance: Tones) -> np.ndarray:
        count = round(LETTER_SECONDS * self.sample_rate)
        time = np.arange(count) / self.sample_rate
        tones = {c: 0.3 * np.sin(2 * np.pi * hz * time) * np.hanning(count) for c, hz in TONES.items()}
        pieces = [tones.get(c, np.zeros(count)) for c in utterance.text]
        noise = np.random.default_rng(list(utterance.id.encode())).standard_normal(count * len(pieces))
        return (np.concatenate(pieces) + 0.003 * noise).astype(np.float32)


def digest_of_weights(model: ConformerCTC) -> bytes:
    """Equal if and only if every tensor of two models is equal in every bit."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.digest()


def onnx_outputs(path: Path | bytes, waveform: torch.Tensor, lengths: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and lengths of a shipped file, or of its bytes, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()})


class PointsTracker:
    """A tracker; with ``kill_at``, a process that dies when that many points were logged."""

    def __init__(self, kill_at=None):
        self.steps, self.kill_at = [], kill_at

    def metrics(self, values, step):
        self.steps.append(step)
        if len(self.steps) == self.kill_at:
            raise KeyboardInterrupt
