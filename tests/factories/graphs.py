"""What every family's ONNX graph is held to: its PyTorch model, in a padded batch and utterance by utterance."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor

from diminuendo.artifact.weight_graph import CONSTANT, FRONTEND
from diminuendo.models.model import SpeechModel
from tests.factories.models import onnx_outputs, tiny_layer

TOLERANCE = 1e-4
RANKS = {"attention.query": 3, "attention.out": 2, "convolution.gate": 2, "feed_forward_1.up": 4}
# Of Conformers, whatever their family: keys of a tiny record.
CONFORMER_LAYERS = {
    "no attention": {"layers": (tiny_layer(heads=0), tiny_layer(heads=0))},
    "no convolution": {"layers": (tiny_layer(convolution=0), tiny_layer(convolution=0))},
    "no feed-forward": {"layers": (tiny_layer(feed_forward_1=0), tiny_layer(feed_forward_2=0))},
    "nothing": {"layers": (tiny_layer(heads=0, convolution=0, feed_forward_1=0, feed_forward_2=0),)},
    "mixed widths": {"layers": (tiny_layer(heads=3, head_width=2, kernel=3), tiny_layer(convolution=5))},
    "factorised": {"layers": (tiny_layer(ranks=RANKS), tiny_layer()), "subsampling_rank": 3},
}


def assert_graph_is_model(model: SpeechModel, graph: bytes, waveform: Tensor, lengths: Tensor) -> None:
    """ONNX Runtime and PyTorch say the same of a padded batch, and ONNX Runtime of every utterance in it alone."""
    with torch.inference_mode():
        expected, expected_frames = model(waveform, lengths)
    found, frames = onnx_outputs(graph, waveform, lengths)
    assert frames.tolist() == expected_frames.tolist() and found.shape == tuple(expected.shape)
    # Of a lone utterance every frame is valid: nobody needs to ask.
    assert int(frames.max()) == found.shape[1]
    for row, (samples, T) in enumerate(zip(lengths.tolist(), frames.tolist())):
        np.testing.assert_allclose(found[row, :T], expected[row, :T].numpy(), rtol=0, atol=TOLERANCE)
        alone, (count,) = onnx_outputs(graph, waveform[row : row + 1, :samples], lengths[row : row + 1])
        assert count == T
        np.testing.assert_allclose(alone[0], found[row, :T], rtol=0, atol=TOLERANCE)


def assert_weights_are_stored_once(model: SpeechModel, graph: bytes, folded: str = "batch_norm") -> None:
    """Under the names of the PyTorch model, but for modules that are folded into others."""
    stored = {t.name: t for t in onnx.load_from_string(graph).graph.initializer}
    parameters = {name: p for name, p in model.named_parameters() if folded not in name}
    assert {name for name in stored if not name.startswith((CONSTANT, FRONTEND))} == set(parameters)
    assert {name: np.prod(stored[name].dims) for name in parameters} == {n: p.numel() for n, p in parameters.items()}
