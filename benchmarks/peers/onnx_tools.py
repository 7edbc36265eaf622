"""Tools that turn an ONNX file into a smaller one, which ONNX Runtime then runs.

Each is called first as a user would who reads no more than its example, then as its guide recommends, and then with
the frontend left out, which no guide says but a user would find who compares layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx

from benchmarks.peers.peer import Made, Peer, Source
from benchmarks.peers.plain_graph import plain
from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.onnx_file import MODEL, PREFIX, write_onnx
from diminuendo.artifact.weight_graph import FRONTEND
from diminuendo.runtime.recognizer import Recognizer

ENCODER = ("subsampling", "layers", "out")  # first parts of the names of the trained nodes
SMALLEST_GROUP, LARGEST_GROUP = 16, 64  # MatMulNBits has none smaller; our own four bits of wide models have the larger


def group_size(teacher: Path) -> int:
    """Of weights that share a scale: as large as divides the inputs of every linear layer, which NNCF demands."""
    graph = onnx.load(teacher).graph
    shapes = {weight.name: weight.dims for weight in graph.initializer}
    linear = [node for node in graph.node if node.op_type == "MatMul" and node.name.startswith(ENCODER)]
    inputs = [shapes[node.input[1]][0] for node in linear if node.input[1] in shapes]
    return max(SMALLEST_GROUP, math.gcd(LARGEST_GROUP, *inputs))


def feeds(waveforms: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the shipped graph, one utterance at a time."""
    for waveform in waveforms:
        samples = waveform[None].astype(np.float32)
        yield {"waveform": samples, "waveform_lengths": np.array([samples.shape[1]], np.int64)}


def equal_pieces(waveforms: list[np.ndarray]) -> list[np.ndarray]:
    """The same audio in pieces of one length, for tools that average over it: the median of the utterances' lengths."""
    everything = np.concatenate(waveforms)
    length = int(np.median([w.size for w in waveforms]))
    return [everything[start : start + length] for start in range(0, everything.size - length + 1, length)]


def _file_peer(distribution: str, settings: str, write: Callable[[Source, Path], None]) -> Peer:
    def make(source: Source) -> Made:
        path = source.work / MODEL
        write(source, path)
        _describe(path, source.folder / MODEL)
        return Made(Recognizer(path, threads=1), bytes_of_files(path))

    return Peer(distribution, settings, make)


def _describe(path: Path, teacher: Path) -> None:
    """Give a file the teacher's metadata, which some tools drop, and a checksum: it is then opened as any other."""
    model = onnx.load(path)
    del model.metadata_props[:]
    known = [prop for prop in onnx.load(teacher).metadata_props if prop.key.startswith(PREFIX)]
    model.metadata_props.extend(known)
    write_onnx(path, model)


def _frontend(path: Path) -> list[str]:
    return [node.name for node in onnx.load(path).graph.node if node.name.startswith(FRONTEND)]


def _linear_only(path: Path):
    """What NNCF leaves alone, so that ONNX Runtime can run its file.

    Beyond the encoder it would quantize integers, which count frames. The scales that it gives depthwise convolutions
    have a shape that ONNX Runtime refuses; before an ``Attention`` the type of its zero points does not fit their node.
    """
    import nncf

    others = [node.name for node in onnx.load(path).graph.node if not node.name.startswith(ENCODER)]
    return nncf.IgnoredScope(names=others, types=["Conv", "Attention"], validate=False)


def _prepared(taken: Path, work: Path) -> Path:
    """A file after the optimisation that ONNX Runtime's guide asks for.

    Its symbolic shape inference gives up on the shapes of the frontend, and the guide's remedy is to leave it out.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = work / "prepared.onnx"
    quant_pre_process(str(taken), str(path), skip_symbolic_shape=True)
    return path


def _dynamic(recommended: bool, in_plain_operators: bool, **chosen) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        from onnxruntime.quantization import quantize_dynamic

        taken = source.folder / MODEL
        if in_plain_operators:
            taken = source.work / "plain.onnx"
            onnx.save(plain(source.folder / MODEL), taken)
        if recommended:
            taken = _prepared(taken, source.work)
        quantize_dynamic(taken, path, per_channel=recommended, **chosen)

    return write


def _static(recommended: bool, without_frontend: bool) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, quantize_static

        class Reader(CalibrationDataReader):
            def __init__(self):
                self._feeds = feeds(source.calibration)

            def get_next(self) -> dict | None:
                return next(self._feeds, None)

        taken = source.folder / MODEL
        if recommended:
            taken = _prepared(taken, source.work)
        options = {"per_channel": True} if recommended else {}
        if without_frontend:
            options["nodes_to_exclude"] = _frontend(taken)
        quantize_static(taken, path, Reader(), **options)

    return write


def _four_bits(block: int) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        frontend = _frontend(source.folder / MODEL)
        quantizer = MatMulNBitsQuantizer(
            onnx.load(source.folder / MODEL), block_size=block, is_symmetric=True, nodes_to_exclude=frontend
        )
        quantizer.process()
        onnx.save(quantizer.model.model, path)

    return write


def _nncf_quantize(recommended: bool) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        import nncf

        pieces = list(feeds(equal_pieces(source.calibration)))
        options = {}
        if recommended:
            options = {
                "model_type": nncf.ModelType.TRANSFORMER,
                "preset": nncf.QuantizationPreset.MIXED,
                "ignored_scope": _linear_only(source.folder / MODEL),
            }
        model = (onnx.load if recommended else plain)(source.folder / MODEL)
        onnx.save(nncf.quantize(model, nncf.Dataset(pieces), subset_size=len(pieces), **options), path)

    return write


def _nncf_weights(mode: str, corrected: bool = False, **options) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        import nncf

        chosen = {"mode": nncf.CompressWeightsMode[mode], "ignored_scope": _linear_only(source.folder / MODEL)}
        if corrected:
            pieces = list(feeds(equal_pieces(source.calibration)))
            chosen |= {"dataset": nncf.Dataset(pieces), "scale_estimation": True}
        model = onnx.load(source.folder / MODEL)
        onnx.save(nncf.compress_weights(model, **chosen, **options), path)

    return write


def _olive_blocks(block: int) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        from olive.model import ONNXModelHandler
        from olive.passes.olive_pass import create_pass_from_dict
        from olive.passes.onnx.rtn_quantization import OnnxBlockWiseRtnQuantization

        options = {"bits": 4, "block_size": block, "nodes_to_exclude": _frontend(source.folder / MODEL)}
        quantize = create_pass_from_dict(OnnxBlockWiseRtnQuantization, options, disable_search=True)
        made = quantize.run(ONNXModelHandler(str(source.folder / MODEL)), str(source.work / "olive"))
        onnx.save(onnx.load(made.model_path), path)

    return write


def _modelopt(mode: str, **options) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        from modelopt.onnx.quantization import quantize

        pieces = [piece.astype(np.float32) for piece in equal_pieces(source.calibration)]
        lengths = np.full(len(pieces), pieces[0].size, np.int64)
        taken = source.work / "teacher.onnx"  # the tool writes what it infers into the file that it is given
        onnx.save(onnx.load(source.folder / MODEL), taken)
        quantize(
            str(taken),
            quantize_mode=mode,
            calibration_data={"waveform": np.stack(pieces), "waveform_lengths": lengths},
            calibration_eps=["cpu"],
            output_path=str(path),
            **options,
        )

    return write


def _aimet(without_frontend: bool) -> Callable[[Source, Path], None]:
    def write(source: Source, path: Path) -> None:
        from aimet_onnx.quantsim import QuantizationSimModel

        model = plain(source.folder / MODEL)
        simulated = QuantizationSimModel(model, providers=["CPUExecutionProvider"])
        for name, quantizer in simulated.qc_quantize_op_dict.items():
            if without_frontend and name.startswith((FRONTEND, "waveform")):
                quantizer.enabled = False
        simulated.compute_encodings(list(feeds(source.calibration)))
        onnx.save(simulated.to_onnx_qdq(prequantize_constants=True), path)

    return write


PLAIN = "on plain operators"  # see plain_graph


def peers(group: int) -> tuple[Peer, ...]:
    """Every tool with every way of calling it; four bits in groups of ``group`` weights."""
    return (
        _file_peer("onnxruntime", f"dynamic int8, defaults, {PLAIN}", _dynamic(False, True)),
        _file_peer("onnxruntime", f"dynamic int8, pre-processed, per channel, {PLAIN}", _dynamic(True, True)),
        _file_peer(
            "onnxruntime",
            "dynamic int8, pre-processed, per channel, MatMul only",
            _dynamic(True, False, op_types_to_quantize=["MatMul"]),
        ),
        _file_peer("onnxruntime", "static int8, defaults", _static(False, False)),
        _file_peer("onnxruntime", "static int8, pre-processed, per channel, without the frontend", _static(True, True)),
        _file_peer("onnxruntime", f"MatMulNBits, 4 bits, blocks of {group}, without the frontend", _four_bits(group)),
        _file_peer("nncf", f"quantize, defaults, {PLAIN}", _nncf_quantize(False)),
        _file_peer("nncf", "quantize, transformer, mixed, linear layers", _nncf_quantize(True)),
        _file_peer("nncf", "compress_weights INT8_ASYM, linear layers", _nncf_weights("INT8_ASYM")),
        _file_peer(
            "nncf",
            f"compress_weights INT4_SYM, linear layers, groups of {group}",
            _nncf_weights("INT4_SYM", group_size=group, ratio=1.0),
        ),
        _file_peer(
            "nncf",
            f"compress_weights INT4_SYM, linear layers, groups of {group}, scales estimated from audio",
            _nncf_weights("INT4_SYM", corrected=True, group_size=group, ratio=1.0),
        ),
        _file_peer("nvidia-modelopt", "int8, defaults", _modelopt("int8")),
        _file_peer("nvidia-modelopt", f"int4, awq_clip, blocks of {group}", _modelopt("int4", block_size=group)),
        _file_peer(
            "olive-ai", f"OnnxBlockWiseRtnQuantization, blocks of {group}, without the frontend", _olive_blocks(group)
        ),
        _file_peer("aimet-onnx", f"QuantizationSimModel, defaults, {PLAIN}", _aimet(False)),
        _file_peer("aimet-onnx", f"QuantizationSimModel, without the frontend, {PLAIN}", _aimet(True)),
    )
