"""Distributions over tokens of a file that gives a text: those along a text that is given."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact.weight_graph import FLOAT, inner_graphs

SCORES = "scores"  # the added output, [tokens, batch, vocabulary]


def with_scores(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, in place, with the scores of all tokens of every round as one more output."""
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    (body,) = inner_graphs(loop)
    (chosen,) = (node for node in body.node if node.op_type == "GatherElements")  # takes the score of what was written
    body.node.append(helper.make_node("Identity", [chosen.input[0]], ["decoder/all_scores"]))
    body.output.append(helper.make_tensor_value_info("decoder/all_scores", FLOAT, None))
    loop.output.append(SCORES)
    model.graph.output.append(helper.make_tensor_value_info(SCORES, FLOAT, None))
    return model


def text_feed(session, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``feed``, and the text that the model writes to it, to be scored: its end is part of it."""
    tokens, lengths = session.run(["tokens", "lengths"], feed)
    most = min(int(lengths.max()) + 1, tokens.shape[1])
    return feed | {"forced": tokens[:, :most], "max_tokens": np.array(most)}


def text_log_probs(session, feed: dict[str, np.ndarray]) -> np.ndarray:
    """Log-probabilities of all tokens, for every token of the texts and their ends, ``[tokens, V]``.

    Args:
        feed: of :func:`text_feed`, and other values for weights.
    """
    scores, lengths = session.run([SCORES, "lengths"], feed)
    rows = [scores[: min(length + 1, len(scores)), row] for row, length in enumerate(lengths)]
    found = np.concatenate(rows).astype(np.float64)
    found -= found.max(axis=-1, keepdims=True)
    return found - np.log(np.exp(found).sum(axis=-1, keepdims=True))
