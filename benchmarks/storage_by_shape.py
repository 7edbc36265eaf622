"""Bytes of files over parameters × bits / 8, for the families' shapes and for small students, with random weights.

    python -m benchmarks.storage_by_shape

No training is needed: what a file takes beside its codes depends on the shapes, hardly on the values.
"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import torch

from diminuendo.artifact.banks import STORED_NAME
from diminuendo.artifact.onnx_file import metadata_of
from diminuendo.artifact.weight_graph import WeightGraph, shorten_names
from diminuendo.compression.quantization.storage import by_name, matrix_shape, sees_one_channel
from diminuendo.compression.quantization.weight_writer import store_by_choice, store_uniformly
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.onnx_writer import build_onnx
from diminuendo.models.conformer.record import ConformerRecord, record_of
from diminuendo.models.model import parameter_count
from diminuendo.parameters.schema import FrontendConfig

GROUPS = (32, 64, 128, 10_000)  # the last: one scale per output channel
MEAN_BITS = 3.5
# As long as the lineage of a member three steps from its teacher; digests do not compress, so neither does this.
LINEAGE = {"ancestors": [hashlib.sha256(bytes([i])).hexdigest() for i in range(80)]}


def shape(sample_rate: int, vocabulary: int, mels: int = 80, hop: float = 0.01, **keys) -> ConformerRecord:
    uniform = {
        "layers": 6, "width": 144, "heads": 4, "feed_forward": 576, "conv_kernel": 15, "subsampling": 4,
        "subsampling_channels": 0, "dropout": 0.0,
    }  # fmt: skip
    frontend = FrontendConfig(mels=mels, window_seconds=0.025, hop_seconds=hop, low_hz=20, high_hz=0.475 * sample_rate)
    return record_of(ArchitectureConfig(**{**uniform, **keys}), frontend, sample_rate, vocabulary)


def slim(record: ConformerRecord, share: float) -> ConformerRecord:
    """Unequal widths without attention, as structured pruning leaves them, of about this share of the parameters."""
    total, best = parameter_count(ConformerCTC(record)), record
    for scale in np.linspace(0.05, 1, 60):
        rng = np.random.default_rng(0)
        layers = []
        for layer in record.layers:
            first, second, third = rng.uniform(0.4, 1.6, 3) * scale
            widths = {
                "heads": 0,
                "feed_forward_1": int(layer.feed_forward_1 * min(1, first)),
                "feed_forward_2": int(layer.feed_forward_2 * min(1, second)),
                "convolution": max(8, int(layer.convolution * min(1, 2 * third))),
            }
            layers.append(layer.model_copy(update=widths))
        tried = record.model_copy(update={"layers": tuple(layers)})
        best = min(best, tried, key=lambda r: abs(parameter_count(ConformerCTC(r)) - share * total))
    return best


def low_rank(record: ConformerRecord, budget: float) -> ConformerRecord:
    """Ranks around the one that keeps this share of a matrix's parameters."""
    rng, width, layers = np.random.default_rng(0), record.width, []
    for layer in record.layers:
        sizes = {f"attention.{name}": width for name in ("query", "key", "value", "out")}
        sizes |= {f"convolution.{name}": layer.convolution for name in ("value", "gate", "out")}
        sizes |= {
            f"feed_forward_{i}.{name}": getattr(layer, f"feed_forward_{i}") for i in (1, 2) for name in ("up", "down")
        }
        full = {name: width * other / (width + other) for name, other in sizes.items()}
        ranks = {name: int(budget * rng.uniform(0.5, 1.5) * rank) for name, rank in full.items()}
        layers.append(layer.model_copy(update={"ranks": {n: r for n, r in ranks.items() if r < 0.98 * full[n]}}))
    return record.model_copy(update={"layers": tuple(layers)})


def graph_of(record: ConformerRecord) -> tuple[onnx.ModelProto, int]:
    """The float32 file, with channels of unequal size as training leaves them, and its parameters."""
    torch.manual_seed(0)
    model = ConformerCTC(record).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(torch.exp(0.3 * torch.randn(len(parameter), *[1] * (parameter.dim() - 1))))
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    count = parameter_count(model)
    tokens = [f"tok{i:02d}" for i in range(record.vocabulary)]
    metadata = metadata_of("some-member-int4", tokens, record.sample_rate, record.frame_seconds, count, LINEAGE)
    return build_onnx(model, metadata), count


def size_of(model: onnx.ModelProto) -> int:
    shorten_names(model, STORED_NAME)
    return model.ByteSize()


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def drawn_bits(model: onnx.ModelProto, mean: float) -> tuple[dict[str, int], float]:
    """Two to five bits a matrix at about this mean, six for the output layer, eight for short kernels."""
    rng = np.random.default_rng(0)
    graph = WeightGraph(model)
    products, output = graph.products(), graph.output_weight()
    sizes = {product.weight: int(np.prod(matrix_shape(product.operator, product.shape))) for product in products}
    bits = {}
    for product in products:
        short = sees_one_channel(product.operator, product.shape)
        bits[product.weight] = 8 if short else 6 if product.weight == output else int(rng.integers(2, 6))
    free = sorted(name for name, width in bits.items() if width < 6)

    def now() -> float:
        return sum(sizes[name] * width for name, width in bits.items()) / sum(sizes.values())

    for name in rng.permutation(free * 3):
        if now() > mean and bits[name] > 2:
            bits[name] -= 1
        elif now() < mean - 0.02 and bits[name] < 5:
            bits[name] += 1
    return bits, now()


def shapes() -> dict[str, ConformerRecord]:
    commands, digits = shape(16000, 29), shape(8000, 64, layers=4)
    plain = {"heads": 0, "macaron": False, "mels": 40, "hop": 0.02, "subsampling": 2}
    small = ((3, 144, 192), (3, 128, 256), (3, 96, 192), (2, 96, 192), (2, 96, 96), (2, 64, 128))
    return {
        "commands, teacher": commands,
        "… low rank, half": low_rank(commands, 0.5),
        "… slim, 0.34": slim(commands, 0.34),
        "… student": shape(16000, 29, layers=3, heads=0, feed_forward=192),
        "digits, teacher": digits,
        "… low rank, half ": low_rank(digits, 0.5),
        "… slim, 0.33": slim(digits, 0.33),
        "… student ": shape(8000, 64, layers=2, width=96, heads=2, head_width=36, feed_forward=384),
        "… fast": shape(8000, 64, layers=2, width=96, heads=0, feed_forward=384, macaron=False),
        **{
            f"{layers} layers of {width}, feed-forward {inner}": shape(
                16000, 29, layers=layers, width=width, feed_forward=inner, **plain
            )
            for layers, width, inner in small
        },
    }


def main() -> None:
    groups = [f"groups of {size}" if size < GROUPS[-1] else "a channel" for size in GROUPS]
    columns = [*(f"int4, {g}" for g in groups), *(f"mixed {MEAN_BITS}, {g}" for g in groups), "int8", "fp16"]
    print(f"| shape | parameters | {' | '.join(columns)} |\n|---|{'---:|' * (1 + len(columns))}")
    for title, record in shapes().items():
        model, count = graph_of(record)
        bits, mean = drawn_bits(model, MEAN_BITS)
        ratios = [size_of(store_uniformly(copy_of(model), 4, group)) / (count * 4 / 8) for group in GROUPS]
        ratios += [size_of(store_by_choice(copy_of(model), by_name(bits, g))) / (count * mean / 8) for g in GROUPS]
        ratios += [size_of(store_uniformly(copy_of(model), width)) / (count * width / 8) for width in (8, 16)]
        print(f"| {title.strip()} | {count:,} | {' | '.join(f'{ratio:.3f}' for ratio in ratios)} |", flush=True)


if __name__ == "__main__":
    main()
