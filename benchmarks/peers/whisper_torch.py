"""A whole Whisper in ``transformers``, eagerly, as it is and with the weights of its linear layers rounded.

The table of tokens, which is the last product, too, is left as it is by all, as ``transformers`` leaves it where it is
asked for such a rounding: a rounded product would need a second table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers.peer import Made, Peer, Source

RATE = 16000
GROUP = 64
TABLE = "proj_out"


class TransformersWriter:
    """Greedy, English, without timestamps. ``model`` has the interface of ``transformers``' generation."""

    def __init__(self, model, checkpoint: Path):
        from transformers import AutoTokenizer, WhisperFeatureExtractor

        self.model = model
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.extractor = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
        multilingual = model.generation_config.is_multilingual
        self.asked = {"language": "en", "task": "transcribe"} if multilingual else {}

    def text_of(self, waveform: np.ndarray) -> str:
        import torch

        features = self.extractor(waveform, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            found = self.model.generate(features, num_beams=1, do_sample=False, return_timestamps=False, **self.asked)
        text = [token for token in found[0].tolist() if token < self.model.config.eos_token_id]
        return self.tokenizer.decode(text).strip()


def _loaded(checkpoint: Path):
    import torch
    from transformers import WhisperForConditionalGeneration
    from transformers.utils import logging

    logging.set_verbosity_error()
    return WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()


def _as_it_is(source: Source) -> Made:
    model = _loaded(source.checkpoint)
    size = sum(path.stat().st_size for path in source.checkpoint.iterdir() if path.is_file())
    return Made(TransformersWriter(model, source.checkpoint), size)


def _changed(distribution: str, settings: str, change: Callable) -> Peer:
    def make(source: Source) -> Made:
        model = _loaded(source.checkpoint)
        change(model)
        return Made(TransformersWriter(model, source.checkpoint), _stored_bytes(model, source.work / "state.pt"))

    return Peer(distribution, f"{settings}; on transformers, eager", make)


def _stored_bytes(model, path: Path) -> int:
    """Of its saved state; what stays as it is in float16, where the checkpoint has it so, and the table once."""
    import torch

    state = model.state_dict()
    state.pop(f"{TABLE}.weight")  # tied
    for name, value in state.items():
        if type(value) is torch.Tensor and value.is_floating_point() and torch.equal(value.half().float(), value):
            state[name] = value.half()
    torch.save(state, path)
    return path.stat().st_size


def _torchao(config: Callable) -> Callable:
    def change(model) -> None:
        import torch
        from torchao import quantization

        def is_taken(module, name: str) -> bool:
            return isinstance(module, torch.nn.Linear) and name != TABLE

        quantization.quantize_(model, config(quantization), filter_fn=is_taken)

    return change


def _four_bits(quantization):
    import torch
    from torchao.quantization.granularity import PerGroup

    return quantization.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP))


def _half_quadratic(bits: int) -> Callable:
    def change(model) -> None:
        import torch
        from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

        for module in list(model.model.modules()):
            for name, layer in list(module.named_children()):
                if isinstance(layer, torch.nn.Linear):
                    config = BaseQuantizeConfig(nbits=bits, group_size=GROUP)
                    setattr(module, name, HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu"))

    return change


PEERS = (
    Peer("transformers", "eager, float32", _as_it_is),
    _changed("torchao", "Int8WeightOnlyConfig of linear layers", _torchao(lambda q: q.Int8WeightOnlyConfig())),
    _changed(
        "torchao",
        "Int8DynamicActivationInt8WeightConfig of linear layers",
        _torchao(lambda q: q.Int8DynamicActivationInt8WeightConfig()),
    ),
    _changed(
        "torchao", f"IntxWeightOnlyConfig of linear layers, int4, groups of {GROUP}, a byte each", _torchao(_four_bits)
    ),
    _changed("hqq", f"8 bits, groups of {GROUP}, of linear layers", _half_quadratic(8)),
    _changed("hqq", f"4 bits, groups of {GROUP}, of linear layers", _half_quadratic(4)),
)
