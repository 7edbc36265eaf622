"""What every unit of a model costs, in parameters or in time, so that units of different kinds compare.

A table says what a module costs with each number of units left, from the record alone: the same on every machine.
Modules are not linear in their units. With its last unit a module loses its norm and all its calls, too, and a pair of
factors is multiplied out where that is smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from diminuendo.compression.pruning.config import NO_TIME_OF_DECODERS
from diminuendo.core.errors import UserError
from diminuendo.models.factorised import linear_shape, linear_weights
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.structure import Key, UnitGroup
from diminuendo.models.surgery import saves


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
    front: float = 0.917  # by multiply-accumulate of convolutions before the layers
    feature_frame: float = 7.03e4
    call: float = 7.84e6


def product_weights(model: SpeechModel, group: UnitGroup, units: int) -> int:
    """Weights of the linear products of a group, each of which is one multiply-accumulate a frame."""
    rows = units * group.width

    def weights(path: str, writes: bool) -> int:
        inputs, outputs, rank = linear_shape(model.get_submodule(path))
        inputs, outputs = (inputs, rows) if writes else (rows, outputs)
        return rank * (inputs + outputs) if rank and saves(rank, outputs, inputs) else inputs * outputs

    return sum(weights(path, writes=True) for path in group.writers) + weights(group.reader, writes=False)


def parameters_of(model: SpeechModel, group: UnitGroup, units: int) -> int:
    """Parameters of a group's module with this many units; none without units."""
    if not units:
        return 0
    module = model.get_submodule(group.path)
    # One bias a row and writer, and what stands between; the norm and the reader's bias stay as they are.
    between, tables = (
        sum(parameter_count(model.get_submodule(path)) for path in paths) for paths in (group.between, group.tables)
    )
    per_row, per_unit = len(group.writers) + between // group.rows, tables // group.count
    products = sum(linear_weights(model.get_submodule(path)) for path in group.products)
    fixed = parameter_count(module) - products - per_row * group.rows - per_unit * group.count
    return product_weights(model, group, units) + units * (per_row * group.width + per_unit) + fixed


def group_features(model: SpeechModel, group: UnitGroup, units: int, frames: int) -> dict[str, float]:
    """What a module does for an utterance of this many encoder frames, by the names of :class:`Prices`."""
    if not units:
        return {}
    rows = units * group.width
    macs = frames * product_weights(model, group, units) + frames * rows * group.row_macs
    if group.attends:
        macs += 2 * frames * frames * rows
    stream = frames * model.structure().width
    return {f"{group.operator}_call": 1, f"{group.operator}_inner": frames * rows, "stream": stream, "mac": macs}


def rest_features(model: SpeechModel, seconds: float) -> dict[str, float]:
    """What is done besides the modules: frontend, what stands before the layers, their norms and the output."""
    record, structure = model.record, model.structure()
    feature_frames, frames = record.frames_of(seconds)
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        if any(True for _ in model.frontend.parameters()):  # convolutions like those after it
            samples = round(seconds * record.sample_rate)
            model.frontend(torch.zeros(1, samples), torch.tensor([samples]))
        model.embed(torch.zeros(1, record.feature_channels, feature_frames), torch.tensor([feature_frames]))
    model.train(was_training)
    front = counter.get_total_flops() / 2
    product = front if structure.front_is_product else 0
    output = linear_weights(model.get_submodule(structure.output))
    return {
        "call": 1,
        "feature_frame": feature_frames,
        "front": front - product,
        "stream": frames * structure.width * len(structure.layers),
        "mac": frames * output + product,
    }


def priced(features: dict[str, float], prices: Prices) -> float:
    return sum(getattr(prices, name) * value for name, value in features.items())


def parameter_costs(model: SpeechModel) -> Costs:
    tables = _tables(model, partial(parameters_of, model))
    return Costs("parameters", tables, parameter_count(model) - sum(float(table[-1]) for table in tables.values()))


def latency_costs(model: SpeechModel, seconds: float, prices: Prices = Prices()) -> Costs:
    """Modelled time on one thread for an utterance of ``seconds``, in multiply-accumulates.

    Raises:
        UserError: the model has a decoder, whose time is by token, and was not fitted.
    """
    if model.structure().decoder_layers:
        raise UserError(f"structured.latency: {NO_TIME_OF_DECODERS}")
    _, frames = model.record.frames_of(seconds)

    def cost(group: UnitGroup, units: int) -> float:
        return priced(group_features(model, group, units, frames), prices)

    return Costs("latency", _tables(model, cost), priced(rest_features(model, seconds), prices))


def _tables(model: SpeechModel, cost: Callable[[UnitGroup, int], float]) -> dict[Key, Tensor]:
    return {
        key: torch.tensor([cost(group, units) for units in range(group.count + 1)], dtype=torch.float64)
        for key, group in model.structure().groups.items()
    }
