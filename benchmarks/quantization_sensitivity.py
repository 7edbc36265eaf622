"""What each group of products costs in word error rate when it is quantized too.

    python -m benchmarks.quantization_sensitivity models/teacher --corpus data/prepared

Every row is a file of its own, scored in ONNX Runtime with the best path on the dev split.

    python -m benchmarks.quantization_sensitivity models/slim --group-size 1000 --bits 4 3.5 3 --split test

compares four bits everywhere with bits chosen for each weight, at these means.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import jiwer
import numpy as np
import onnx
import onnxruntime

from diminuendo.artifact import codec
from diminuendo.artifact.banks import STORED_NAME
from diminuendo.artifact.weight_graph import FRONTEND, WeightGraph, shorten_names
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.integer import nodes_for_integers, quantize_static
from diminuendo.compression.quantization.mixed import Allocation, bits_of
from diminuendo.compression.quantization.sensitivity import Posteriors, sweep
from diminuendo.compression.quantization.storage import (
    FP16,
    INT8_CHANNEL,
    Storage,
    by_name,
    sees_one_channel,
    storage_for,
    uniform,
)
from diminuendo.compression.quantization.weight_writer import store_by_choice, store_uniformly
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.family import current

DEFAULT_GROUP = QuantizeConfig.model_fields["group_size"].default


class Scorer:
    def __init__(self, corpus: PreparedCorpus, utterances: int | None, split: str = "dev"):
        self.heard = [(corpus.audio(u), u.text) for u in corpus.split(split)[:utterances]]
        self.reference: list[np.ndarray] = []

    def row(self, title: str, model: onnx.ModelProto) -> None:
        data = model.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        tokens = json.loads(session.get_modelmeta().custom_metadata_map["diminuendo.tokens"])
        hypotheses, outputs = [], []
        for audio, _ in self.heard:
            feeds = {"waveform": audio[None], "waveform_lengths": np.array([audio.size])}
            log_probs, lengths = session.run(["log_probs", "lengths"], feeds)
            outputs.append(log_probs[0, : lengths[0]])
            best = outputs[-1].argmax(axis=-1)
            kept = [t for i, t in enumerate(best) if t and (i == 0 or t != best[i - 1])]
            hypotheses.append("".join(tokens[t] for t in kept).replace("▁", " ").strip())
        self.reference = self.reference or outputs
        drift = np.mean([np.abs(a - b).mean() for a, b in zip(outputs, self.reference)])
        # Of all frames: how much the posteriors have moved from those of the first row.
        kl = [(np.exp(a) * (a - b)).sum(axis=-1) for a, b in zip(self.reference, outputs)]
        wer = jiwer.wer([text for _, text in self.heard], hypotheses)
        nats = np.concatenate(kl).astype(np.float64).mean()
        print(f"| {title:44} | {len(data):>10,} | {drift:8.4f} | {nats:9.5f} | {wer:7.2%} |", flush=True)


def groups_of(model: onnx.ModelProto) -> dict[str, dict[str, str]]:
    """Nodes by group: what we quantize, and what the tools would quantize beyond it."""
    ours = nodes_for_integers(model)
    nodes = {n.name: n.op_type for n in model.graph.node if n.op_type in ("MatMul", "Conv")}
    frontend = {name: kind for name, kind in nodes.items() if name.startswith(FRONTEND)}
    convolutions = {name: kind for name, kind in nodes.items() if kind == "Conv"}
    rest = {name: kind for name, kind in nodes.items() if name not in {**ours, **frontend, **convolutions}}
    return {"linear layers": ours, "frontend": frontend, "attention products": rest, "convolutions": convolutions}


def weight_rows(source: Path, score: Scorer) -> None:
    def stored(
        only: str = "",
        size: int | None = DEFAULT_GROUP,
        output: Storage = INT8_CHANNEL,
        front: bool = True,
        short_kernels: bool = False,
    ):
        at_the_end = WeightGraph(onnx.load(source)).output_weight()

        def choice(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
            if name == at_the_end:
                return output
            if sees_one_channel(operator, shape):
                return Storage(4) if short_kernels else INT8_CHANNEL
            if operator == "Conv" and not front:
                return INT8_CHANNEL
            return storage_for(operator, shape, 4, size) if only in name else FP16

        model = store_by_choice(onnx.load(source), choice)
        shorten_names(model, STORED_NAME)
        return model

    score.row("fp16", store_uniformly(onnx.load(source), 16))
    score.row("int8 weights", store_uniformly(onnx.load(source), 8))
    for size in (16, 32, 64, 128, 256, None):
        groups = f"groups of {size}" if size else "a scale per output channel"
        shipped = " (as shipped)" if size == DEFAULT_GROUP else ""
        score.row(f"int4 weights, {groups}{shipped}", stored(size=size))
        score.row("… convolution in front int8", stored(size=size, front=False))
    for part in ("feed_forward", "attention", ".convolution.", "subsampling.out"):
        score.row(f"… {part.strip('.')} only, the rest fp16", stored(only=part))
    score.row("… output layer fp16", stored(output=FP16))
    score.row("… output layer int4", stored(output=Storage(4, DEFAULT_GROUP)))
    score.row("… depthwise convolutions int4", stored(short_kernels=True))
    fractions, codec.FRACTIONS[4] = codec.FRACTIONS[4], (1.0,)
    score.row("… scales from the largest value alone", stored())
    codec.FRACTIONS[4] = fractions


def mixed_rows(source: Path, score: Scorer, audio: list[np.ndarray], arguments: argparse.Namespace) -> None:
    parent, size = onnx.load(source), arguments.group_size
    posteriors = Posteriors(parent, audio)
    allocation = Allocation(sweep(posteriors, size, arguments.work))
    score.row("nothing (float32)", onnx.load(source))
    choices = {"int4 weights": uniform(4, size, output=WeightGraph(parent).output_weight())}
    for bits in arguments.bits:
        limit = bits * sum(item.parameters for item in allocation.start.values())
        chosen = allocation.within(limit, lambda item: item.parameters * item.bits)
        choices[f"mixed, {bits:g} bits a weight"] = by_name(bits_of(chosen), size)
    for title, choice in choices.items():
        model = store_by_choice(onnx.load(source), choice)
        shorten_names(model, STORED_NAME)
        score.row(f"{title}: {posteriors.divergence_of(choice):.4f} nats", model)


def dynamic(source: Path, nodes: dict[str, str], reduce_range: bool = True) -> onnx.ModelProto:
    """Any nodes, name to operator, by ONNX Runtime's tool; members are quantized by ``quantize_dynamic`` of ours."""
    from onnxruntime import quantization as tools

    with TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        tools.quantize_dynamic(
            source,
            target,
            nodes_to_quantize=list(nodes),
            op_types_to_quantize=sorted(set(nodes.values())),
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=tools.QuantType.QInt8,
        )
        return onnx.load(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a float32 member")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--utterances", type=int, help="of dev; all by default")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--weights", action="store_true", help="no integer products, which take most of the time")
    parser.add_argument("--bits", type=float, nargs="+", help="compare means of chosen bits instead")
    parser.add_argument("--group-size", type=int, default=DEFAULT_GROUP, help="with --bits")
    parser.add_argument("--calibration-utterances", type=int, default=64)
    parser.add_argument("--work", type=Path, help="with --bits: folder in which the sweep is kept")
    arguments = parser.parse_args()
    source = arguments.model / "model.onnx"
    corpus = PreparedCorpus.open(arguments.corpus)
    audio = calibration_audio(corpus, arguments.calibration_utterances, seed=0)
    score = Scorer(corpus, arguments.utterances, arguments.split)
    columns = ("bytes", "mean distance of a log-probability", "divergence, nats a frame", f"{arguments.split} WER")
    print(f"| quantized | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    if arguments.bits:
        return mixed_rows(source, score, audio, arguments)
    parent = onnx.load(source)
    score.row("nothing (float32)", parent)
    weight_rows(source, score)
    if arguments.weights:
        return
    groups = groups_of(parent)
    ours = groups.pop("linear layers")
    for title, quantize in (
        ("dynamic", lambda nodes: dynamic(source, nodes)),
        ("static", lambda nodes: quantize_static(source, audio, nodes)),
    ):
        score.row(f"int8 {title}, linear layers", quantize(ours))
        for name, more in groups.items():
            score.row(f"… and {name}", quantize({**ours, **more}))
        everything = {name: kind for group in (ours, *groups.values()) for name, kind in group.items()}
        score.row("… and all of these (the tools' default)", quantize(everything))
    score.row("int8 dynamic, weights in all 8 bits", dynamic(source, ours, reduce_range=False))


if __name__ == "__main__":
    main()
