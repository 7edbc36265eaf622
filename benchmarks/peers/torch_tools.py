"""Tools that change a PyTorch model in place; it then runs in PyTorch, and its bytes are those of its saved state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.peers.peer import Made, Peer, Source

GROUP = 16  # as in onnx_tools


class TorchDecoder:
    """A model in eager PyTorch behind the interface of a shipped file."""

    def __init__(self, model):
        self.model = model.eval()

    def greedy_path(self, waveform: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            log_probs, frames = self.model(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
            return log_probs[0, : frames[0]].argmax(dim=-1).to(torch.int32).numpy()


def _module_peer(distribution: str, settings: str, change: Callable) -> Peer:
    def make(source: Source) -> Made:
        import torch

        from diminuendo.models.store import load_model

        model = change(load_model(source.folder).model.eval())
        path = source.work / "state.pt"
        torch.save(model.state_dict(), path)
        return Made(TorchDecoder(model), path.stat().st_size)

    return Peer(distribution, settings, make)


def _torchao(config: Callable) -> Callable:
    def change(model):
        from torchao import quantization

        quantization.quantize_(model, config(quantization))
        return model

    return change


def _four_bits(quantization):
    import torch
    from torchao.quantization.granularity import PerGroup

    return quantization.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP))


def _round_to_nearest(**options) -> Callable:
    def change(model):
        from neural_compressor.torch import quantization

        return quantization.convert(quantization.prepare(model, quantization.RTNConfig(**options)))

    return change


PEERS = (
    _module_peer("torch", "float32, eager", lambda model: model),
    _module_peer("torchao", "Int8WeightOnlyConfig", _torchao(lambda q: q.Int8WeightOnlyConfig())),
    _module_peer(
        "torchao",
        "Int8DynamicActivationInt8WeightConfig",
        _torchao(lambda q: q.Int8DynamicActivationInt8WeightConfig()),
    ),
    _module_peer("torchao", f"IntxWeightOnlyConfig, int4, groups of {GROUP}", _torchao(_four_bits)),
    _module_peer("neural-compressor", "RTNConfig, 8 bits, per channel", _round_to_nearest(bits=8, group_size=-1)),
    _module_peer(
        "neural-compressor",
        f"RTNConfig, 4 bits, groups of {GROUP}, searched for least error",
        _round_to_nearest(bits=4, group_size=GROUP, use_mse_search=True),
    ),
)
