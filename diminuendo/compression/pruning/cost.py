"""What every unit of a model costs, in parameters or in time, so that units of different kinds compare.

A table says what a module costs with each number of units left, from the record alone: the same on every machine.
Modules are not linear in their units. With its last unit a module loses its norm and all its calls, too, and a pair of
factors is multiplied out where that is smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from diminuendo.compression.pruning.importance import KINDS, units_of
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.record import ConformerRecord, LayerRecord
from diminuendo.models.surgery import READERS, WRITERS, saves

Key = tuple[int, str]  # (layer, module)


@dataclass(frozen=True)
class Costs:
    """``modules``: what (layer, module) costs with 0…n units, float64 ``[n + 1]``; ``rest``: what stays in any case."""

    unit: str
    modules: dict[Key, Tensor]
    rest: float

    @property
    def whole(self) -> float:
        return self.rest + sum(float(table[-1]) for table in self.modules.values())

    def of(self, counts: dict[Key, int]) -> float:
        """Cost of the model with this many units in every module."""
        return self.rest + sum(float(self.modules[key][count]) for key, count in counts.items())


@dataclass(frozen=True)
class Prices:
    """Time of each thing a file does in one thread of ONNX Runtime, in multiply-accumulates of a matrix product.

    Fitted to files of random widths: ``python -m benchmarks.latency_model`` prints these figures and how far the model
    is off; 0 is what adds nothing to the others. Only their proportions matter, so a faster machine of the same kind
    has the same budget.
    """

    feed_forward_call: float = 1.02e6  # by module, whatever its width
    attention_call: float = 1.77e6
    convolution_call: float = 1.36e6
    feed_forward_inner: float = 0.0  # by encoder frame and inner channel
    attention_inner: float = 49.3
    convolution_inner: float = 33.8
    stream: float = 0.0  # by module, encoder frame and channel of the model's width
    mac: float = 1.0
    subsampling: float = 0.917  # by multiply-accumulate of convolutions over time and frequency
    feature_frame: float = 7.03e4
    call: float = 7.84e6


def product_weights(record: ConformerRecord, layer: LayerRecord, module: str, units: int) -> int:
    """Weights of the linear layers of a module, each of which is one multiply-accumulate a frame."""
    inner = units * layer.head_width if module == "attention" else units

    def weights(name: str, inputs: int, outputs: int) -> int:
        rank = layer.ranks.get(f"{module}.{name}")
        return rank * (inputs + outputs) if rank and saves(rank, outputs, inputs) else inputs * outputs

    written = sum(weights(name, record.width, inner) for name in WRITERS[module])
    return written + weights(READERS[module], inner, record.width)


def parameters_of(record: ConformerRecord, layer: LayerRecord, module: str, units: int) -> int:
    """Parameters of a module with this many units; none without units."""
    if not units:
        return 0
    D = record.width
    vectors = {
        "attention": 3 * units * layer.head_width,
        "convolution": units * (2 + layer.kernel + 1 + 2),  # biases of the gated unit, depthwise, batch norm
    }.get(module, units)
    return product_weights(record, layer, module, units) + vectors + D + 2 * D  # the reader's bias and the norm


def module_features(
    record: ConformerRecord, layer: LayerRecord, module: str, units: int, frames: int
) -> dict[str, float]:
    """What a module does for an utterance of this many encoder frames, by the names of :class:`Prices`."""
    if not units:
        return {}
    kind = "attention" if module == "attention" else KINDS[module]
    inner = units * layer.head_width if module == "attention" else units
    macs = frames * product_weights(record, layer, module, units)
    if module == "attention":
        macs += 2 * frames * frames * inner
    if module == "convolution":
        macs += frames * inner * layer.kernel
    return {f"{kind}_call": 1, f"{kind}_inner": frames * inner, "stream": frames * record.width, "mac": macs}


def rest_features(model: ConformerCTC, seconds: float) -> dict[str, float]:
    """What is done besides the modules: frontend, subsampling, the layers' norms and the output."""
    record = model.record
    feature_frames, frames = frames_of(record, seconds)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.subsampling(torch.zeros(1, record.frontend.mels, feature_frames), torch.tensor([feature_frames]))
    strided = counter.get_total_flops() / 2
    over_time = 0 if record.subsampling_channels else strided  # one product, as those of the layers
    return {
        "call": 1,
        "feature_frame": feature_frames,
        "subsampling": strided - over_time,
        "stream": frames * record.width * len(record.layers),
        "mac": frames * record.width * record.vocabulary + over_time,
    }


def frames_of(record: ConformerRecord, seconds: float) -> tuple[int, int]:
    """Frames of the features and of the encoder."""
    features = max(1, round(seconds / record.frontend.hop_seconds))
    return features, -(-features // record.subsampling)


def priced(features: dict[str, float], prices: Prices) -> float:
    return sum(getattr(prices, name) * value for name, value in features.items())


def parameter_costs(model: ConformerCTC) -> Costs:
    record = model.record
    tables = _tables(model, partial(parameters_of, record))
    everything = sum(parameter.numel() for parameter in model.parameters())
    return Costs("parameters", tables, everything - sum(float(table[-1]) for table in tables.values()))


def latency_costs(model: ConformerCTC, seconds: float, prices: Prices = Prices()) -> Costs:
    """Modelled time on one thread for an utterance of ``seconds``, in multiply-accumulates."""
    record = model.record
    _, frames = frames_of(record, seconds)

    def cost(layer: LayerRecord, module: str, units: int) -> float:
        return priced(module_features(record, layer, module, units, frames), prices)

    return Costs("latency", _tables(model, cost), priced(rest_features(model, seconds), prices))


def _tables(model: ConformerCTC, cost) -> dict[Key, Tensor]:
    return {
        (index, module): torch.tensor(
            [cost(model.record.layers[index], module, units) for units in range(count + 1)], dtype=torch.float64
        )
        for (index, module), (_, count) in units_of(model).items()
    }
