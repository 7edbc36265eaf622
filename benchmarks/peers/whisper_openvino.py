"""A whole Whisper in OpenVINO, through ``optimum-intel``, weights rounded by NNCF."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers.peer import Made, Peer, Source
from benchmarks.peers.whisper_torch import GROUP, TransformersWriter


def _openvino(**rounding) -> Callable[[Source], Made]:
    def make(source: Source) -> Made:
        from optimum.intel import OVModelForSpeechSeq2Seq, OVWeightQuantizationConfig

        model = OVModelForSpeechSeq2Seq.from_pretrained(
            source.checkpoint,
            export=True,
            compile=False,
            quantization_config=OVWeightQuantizationConfig(**rounding),
            ov_config={"INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "1"},
        )
        model.save_pretrained(source.work)
        size = sum(path.stat().st_size for path in source.work.iterdir() if path.suffix in (".xml", ".bin"))
        model.compile()
        return Made(TransformersWriter(model, source.checkpoint), size)

    return make


PEERS = (
    Peer("openvino", "optimum-intel, int8 weights with the table of tokens", _openvino(bits=8)),
    Peer(
        "openvino",
        f"optimum-intel, int4 weights in groups of {GROUP}, the table of tokens in 8 bits",
        _openvino(bits=4, group_size=GROUP),
    ),
)
