"""Tools that people run Whisper with, from the same weights: one thread, English, greedy, without timestamps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.peers import whisper_cpp, whisper_openvino, whisper_torch
from benchmarks.peers.peer import Made, Peer, Source
from diminuendo.artifact.onnx_file import MODEL, PREFIX, write_onnx
from diminuendo.artifact.weight_graph import FRONTEND, all_nodes
from diminuendo.runtime.recognizer import Recognizer


def bytes_of_folder(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _faster_whisper(precision: str) -> Callable[[Source], Made]:
    def make(source: Source) -> Made:
        from ctranslate2.converters import TransformersConverter
        from faster_whisper import WhisperModel

        folder = source.work / "ctranslate2"
        copied = [
            name for name in ("tokenizer.json", "preprocessor_config.json") if (source.checkpoint / name).is_file()
        ]
        TransformersConverter(str(source.checkpoint), copy_files=copied).convert(str(folder), quantization=precision)
        model = WhisperModel(str(folder), device="cpu", compute_type=precision, cpu_threads=1, num_workers=1)

        class Heard:
            def text_of(self, waveform: np.ndarray) -> str:
                segments, _ = model.transcribe(
                    waveform,
                    language="en",
                    beam_size=1,
                    temperature=0.0,
                    without_timestamps=True,
                    condition_on_previous_text=False,
                    no_speech_threshold=None,
                    log_prob_threshold=None,
                    compression_ratio_threshold=None,
                )
                return " ".join(segment.text.strip() for segment in segments)

        return Made(Heard(), bytes_of_folder(folder))

    return make


def _dynamic(source: Source) -> Made:
    """ONNX Runtime's own tool, on our float32 file: all products of the encoder and of the loop's body.

    It turns ``Gemm`` with a table that is looked up, too, into a product of shapes that do not fit; so that is done
    here.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    taken, plain, path = source.folder / MODEL, source.work / "plain.onnx", source.work / MODEL
    onnx.save(_without_gemm(onnx.load(taken)), plain)
    skipped = [node.name for node in onnx.load(plain).graph.node if node.name.startswith(FRONTEND)]
    quantize_dynamic(
        plain,
        path,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=skipped,
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"EnableSubgraph": True},
    )
    model = onnx.load(path)
    del model.metadata_props[:]
    model.metadata_props.extend(p for p in onnx.load(taken).metadata_props if p.key.startswith(PREFIX))
    write_onnx(path, model)
    return Made(Recognizer(path, threads=1), path.stat().st_size)


def _without_gemm(model: onnx.ModelProto) -> onnx.ModelProto:
    """``Gemm`` with a turned weight as ``MatMul`` with one that is stored turned."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in all_nodes(model.graph):
        if node.op_type == "Gemm" and node.input[1] in stored:
            turned = f"{node.input[1]}/turned"
            if turned not in stored:
                value = numpy_helper.to_array(stored[node.input[1]])
                stored[turned] = numpy_helper.from_array(np.ascontiguousarray(value.T), turned)
                model.graph.initializer.append(stored[turned])
            node.op_type, node.input[1] = "MatMul", turned
            del node.attribute[:]
    return model


PEERS = (
    Peer("faster-whisper", "float32", _faster_whisper("float32")),
    Peer("faster-whisper", "int8", _faster_whisper("int8")),
    Peer("onnxruntime", "quantize_dynamic, int8, without the frontend", _dynamic),
    *whisper_cpp.PEERS,
    *whisper_torch.PEERS,
    *whisper_openvino.PEERS,
)
