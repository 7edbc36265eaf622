"""Tools that change a PyTorch model in place; it then runs in PyTorch, and its bytes are those of its saved state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.peers.peer import Made, Peer, Source


class TorchDecoder:
    """A model in eager PyTorch behind the interface of a shipped file."""

    def __init__(self, model):
        self.model = model.eval()

    def greedy_path(self, waveform: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():  # in inference_mode, optimum-quanto's four bits cannot set a tensor's version
            log_probs, frames = self.model(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
            return log_probs[0, : frames[0]].argmax(dim=-1).to(torch.int32).numpy()


def _module_peer(distribution: str, settings: str, change: Callable, calibrated: bool = False) -> Peer:
    """``change`` is given the model and, where ``calibrated``, the waveforms."""

    def make(source: Source) -> Made:
        import torch

        from diminuendo.models.store import load_model

        model = load_model(source.folder).model.eval()
        model = change(model, source.calibration) if calibrated else change(model)
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


def _four_bits(group: int) -> Callable:
    def config(quantization):
        import torch
        from torchao.quantization.granularity import PerGroup

        return quantization.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(group))

    return config


def _round_to_nearest(**options) -> Callable:
    def change(model):
        from neural_compressor.torch import quantization

        return quantization.convert(quantization.prepare(model, quantization.RTNConfig(**options)))

    return change


def _quanto(weights: str) -> Callable:
    def change(model):
        from optimum import quanto

        quanto.quantize(model, weights=getattr(quanto, weights))
        quanto.freeze(model)
        return model

    return change


def _quanto_calibrated(model, waveforms: list[np.ndarray]):
    from optimum import quanto

    quanto.quantize(model, weights=quanto.qint8, activations=quanto.qint8)
    decoder = TorchDecoder(model)
    with quanto.Calibration():
        for waveform in waveforms:
            decoder.greedy_path(waveform)
    quanto.freeze(model)
    return model


def _half_quadratic(bits: int, group_size: int | None) -> Callable:
    def change(model):
        import torch
        from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

        config = BaseQuantizeConfig(nbits=bits, group_size=group_size)
        for module in list(model.modules()):
            for name, layer in list(module.named_children()):
                if isinstance(layer, torch.nn.Linear):
                    setattr(module, name, HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu"))
        return model

    return change


def peers(group: int) -> tuple[Peer, ...]:
    """Every tool with every way of calling it; four bits in groups of ``group`` weights."""
    return (
        _module_peer("torch", "float32, eager", lambda model: model),
        _module_peer("torchao", "Int8WeightOnlyConfig", _torchao(lambda q: q.Int8WeightOnlyConfig())),
        _module_peer(
            "torchao",
            "Int8DynamicActivationInt8WeightConfig",
            _torchao(lambda q: q.Int8DynamicActivationInt8WeightConfig()),
        ),
        _module_peer("torchao", f"IntxWeightOnlyConfig, int4, groups of {group}", _torchao(_four_bits(group))),
        _module_peer("neural-compressor", "RTNConfig, 8 bits, per channel", _round_to_nearest(bits=8, group_size=-1)),
        _module_peer(
            "neural-compressor",
            f"RTNConfig, 4 bits, groups of {group}, searched for least error",
            _round_to_nearest(bits=4, group_size=group, use_mse_search=True),
        ),
        _module_peer("optimum-quanto", "qint8 weights", _quanto("qint8")),
        _module_peer(
            "optimum-quanto", "qint8 weights and activations, calibrated", _quanto_calibrated, calibrated=True
        ),
        _module_peer("optimum-quanto", "qint4 weights", _quanto("qint4")),
        _module_peer("hqq", "8 bits, per channel", _half_quadratic(8, None)),
        _module_peer("hqq", f"4 bits, groups of {group}", _half_quadratic(4, group)),
    )
