"""What rounding does to a model whose channels are on very different scales, with equalisation and without.

    python -m benchmarks.equalisation models/teacher/model.onnx --corpus data/prepared

In the second half of the table, one channel of each seam is divided by 64 in one parameter and multiplied by it in the
next: the float32 model is the same function. Word error rates are of the dev split, from the files.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import numpy_helper

from diminuendo.artifact.onnx_file import MODEL, read_onnx, write_onnx
from diminuendo.artifact.tensors import copy_of
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization import equalisation
from diminuendo.compression.quantization.integer import quantize_dynamic
from diminuendo.compression.quantization.quantized_file import compare
from diminuendo.compression.quantization.weight_writer import store_uniformly
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.metrics.error_rates import word_error_rate
from diminuendo.runtime.model import AcousticModel
from diminuendo.runtime.recognizer import Recognizer

FACTOR, SEED = 64.0, 0


def rescaled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function, with the scale of one channel of every seam moved from one parameter into the next."""
    model, rng = copy_of(model), np.random.default_rng(SEED)
    graph = WeightGraph(model)
    values = {name: graph.array(name).copy() for name in graph.parameters()}
    for writers, readers, _ in equalisation.seams(graph):
        channel = rng.integers(len(values[readers[0]]))
        for name in writers:
            values[name][..., channel] /= FACTOR
        for name in readers:
            values[name][channel] *= FACTOR
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return model


def quantized(model: onnx.ModelProto, scheme: str, folder: Path, group_size: int) -> onnx.ModelProto:
    if scheme != "int8_dynamic":
        return store_uniformly(copy_of(model), int(scheme.removeprefix("int").partition("_")[0]), group_size)
    write_onnx(folder / "given.onnx", copy_of(model))
    return store_uniformly(quantize_dynamic(folder / "given.onnx"), 8)


def posteriors(path: Path, corpus: PreparedCorpus, said: list) -> list[np.ndarray]:
    """Log-probabilities ``[T, V]`` of every utterance."""
    model = AcousticModel(path, threads=1)
    return [model.log_probs_of(corpus.audio(utterance)) for utterance in said]


def row(title: str, path: Path, parent: Path, expected: list[np.ndarray], corpus: PreparedCorpus, said: list) -> str:
    recognizer = Recognizer(path, threads=1)
    heard = [recognizer.transcribe(corpus.audio(utterance), corpus.sample_rate).text for utterance in said]
    moved = compare(path, read_onnx(parent), corpus.sample_rate)
    pairs = zip(expected, posteriors(path, corpus, said))
    kl = sum((np.exp(a) * (a - b)).sum() for a, b in pairs) / sum(map(len, expected))
    return f"| {title} | {kl:.4f} | {moved:.3f} | {word_error_rate([u.text for u in said], heard):.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of `prepare`")
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--utterances", type=int, default=200, help="of dev")
    args = parser.parse_args()
    corpus, parent = PreparedCorpus.open(args.corpus), read_onnx(args.model)
    said, find = corpus.dev[: args.utterances], equalisation.scalings_of
    expected = posteriors(args.model, corpus, said)
    print("| scheme | channels | equalised | KL, nats a frame | log-probabilities moved by | WER, dev |")
    print("|---|---|---|---:|---:|---:|")
    with TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        for channels, model in (("as trained", parent), (f"one × {FACTOR:g}", rescaled(parent))):
            for scheme in ("int8_weight", "int8_dynamic", "int4_weight"):
                for told in ("no", "yes"):
                    equalisation.scalings_of = find if told == "yes" else lambda graph: {}
                    write_onnx(path, quantized(model, scheme, Path(folder), args.group_size))
                    print(row(f"{scheme} | {channels} | {told}", path, args.model, expected, corpus, said), flush=True)


if __name__ == "__main__":
    main()
