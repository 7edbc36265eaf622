"""What each weight's rounding does to the outputs: one weight at a time, the rest in float32.

The measure is the Kullback-Leibler divergence of the rounded model's frame posteriors from the parent's, over
utterances of train. No text is needed, and it is smooth where a word error rate on so few utterances would count single
words.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact.codec import weight_of
from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.artifact.onnx_file import read_metadata
from diminuendo.artifact.session import open_session
from diminuendo.artifact.weight_graph import FLOAT
from diminuendo.compression.quantization.equalisation import EqualisedGraph, unscaled
from diminuendo.compression.quantization.storage import Choice, Storage, by_name, matrix_shape
from diminuendo.compression.quantization.text_scores import text_feed, text_log_probs, with_scores
from diminuendo.compression.quantization.weight_writer import Rounding, by_itself
from diminuendo.core.errors import UserError
from diminuendo.core.files import json_text, write_text
from diminuendo.core.sealed import read_sealed, tell_unusable, write_sealed
from diminuendo.data.padding import pad

CHOICES, PACKED_CHOICES = (2, 3, 4, 5, 6, 8), (4, 8)
SENSITIVITY = "sensitivity.csv"
BATCH, TEXTS = 16, 4  # utterances; of a text the distributions over all tokens are held
MEASURED_AGAIN = "the sweep begins anew"


@dataclass(frozen=True)
class Sensitivity:
    """One weight in ``bits``: ``bytes`` of its codes and scales, ``kl`` in nats per frame."""

    weight: str
    parameters: int
    bits: int
    bytes: int
    kl: float

    @property
    def cost(self) -> int:
        return self.bytes

    @property
    def loss(self) -> float:
        return self.kl


class Posteriors:
    """Runs a float32 file with other values for some of its weights, and compares with what it gives as it is.

    Attributes:
        weights: name to operator and value, its channels on one scale, as it is rounded.
    """

    def __init__(self, model: onnx.ModelProto, audio: list[np.ndarray], rounding: Rounding = by_itself):
        """``audio``: waveforms float32 ``[N]``, at least one; ``rounding``: as weights will be stored."""
        import onnxruntime

        self.rounding = rounding
        open_model = onnx.ModelProto()
        open_model.CopyFrom(model)
        graph = EqualisedGraph(model)
        self.scalings = graph.scalings
        self.weights = {product.weight: (product.operator, graph.array(product.weight)) for product in graph.products()}
        self.writes_text = read_metadata(model).get("format") == TEXT_FORMAT
        if self.writes_text:
            with_scores(open_model)
        # An initializer that is an input too may be given another value for a run: one session for the whole sweep.
        open_model.graph.input.extend(
            helper.make_tensor_value_info(name, FLOAT, value.shape) for name, (_, value) in self.weights.items()
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns of every such initializer
        options.intra_op_num_threads = 1  # sums in one order
        self.session = open_session(open_model, options)
        ordered, batch = sorted(audio, key=len), TEXTS if self.writes_text else BATCH
        self.feeds = [self._feed(ordered[i : i + batch]) for i in range(0, len(ordered), batch)]
        self.reference = [self._log_probs(feed, {}) for feed in self.feeds]

    def _feed(self, waveforms: list[np.ndarray]) -> dict[str, np.ndarray]:
        waveform, lengths = pad(waveforms)
        feed = {"waveform": waveform, "waveform_lengths": lengths}
        return text_feed(self.session, feed) if self.writes_text else feed

    def _log_probs(self, feed: dict, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of all valid frames, or of the tokens of the text that the file writes as it is, ``[frames, tokens]``."""
        # The session has the gains and biases before equalisation.
        values = {name: unscaled(value, self.scalings.get(name, ())) for name, value in values.items()}
        if self.writes_text:
            return text_log_probs(self.session, {**feed, **values})
        log_probs, lengths = self.session.run(["log_probs", "lengths"], {**feed, **values})
        return np.concatenate([row[:length] for row, length in zip(log_probs, lengths)]).astype(np.float64)

    def divergence(self, values: Mapping[str, np.ndarray]) -> float:
        """Mean over frames of KL(as it is ‖ with these values), in nats; values as in ``weights``."""
        total = frames = 0.0
        for feed, expected in zip(self.feeds, self.reference):
            found = self._log_probs(feed, values)
            total += (np.exp(expected) * (expected - found)).sum()
            frames += len(expected)
        return float(total / frames)

    def divergence_of(self, choice: Choice) -> float:
        """The same with every weight rounded as it would be stored."""
        return self.divergence(
            {
                name: self.rounded(name, choice(name, operator, value.shape))
                for name, (operator, value) in self.weights.items()
            }
        )

    def rounded(self, name: str, storage: Storage) -> np.ndarray:
        """What a weight is once it is stored so, in at most 8 bits."""
        operator, value = self.weights[name]
        return weight_of(operator, self.rounding(name, operator, value, storage).decode(), value.shape)


def sweep(
    posteriors: Posteriors,
    group_size: int | None,
    work: Path | None = None,
    packed: bool = False,
    integers: Collection[str] = (),
) -> list[Sensitivity]:
    """The sensitivity of every weight at every number of bits, in the order of the graph.

    Args:
        packed: for products that read weights as they are stored.
        integers: weights of products in integers.
        work: a folder in which what was measured is kept; a sweep found there goes on.
    """
    kept = work / "sensitivity.json" if work else None
    choices = PACKED_CHOICES if packed else CHOICES
    known = _known(kept, choices) if kept else {}
    found = []
    for name, (operator, value) in posteriors.weights.items():
        if name not in known:
            known[name] = {}
            for bits in choices:
                storage = by_name({name: bits}, group_size, packed, integers)(name, operator, value.shape)
                known[name][str(bits)] = posteriors.divergence({name: posteriors.rounded(name, storage)})
            if kept:
                write_sealed(kept, json_text(known).encode())
        for bits in choices:
            storage: Storage = by_name({name: bits}, group_size, packed, integers)(name, operator, value.shape)
            size = storage.bytes_of(*matrix_shape(operator, value.shape))
            found.append(Sensitivity(name, value.size, bits, size, known[name][str(bits)]))
    return found


def _known(path: Path, choices: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Sensitivity by weight and number of bits, as far as an earlier run came."""
    content = read_sealed(path, MEASURED_AGAIN)
    if content is None:
        return {}
    known = json.loads(bytes(content))
    if any(set(sensitivities) != set(map(str, choices)) for sensitivities in known.values()):
        tell_unusable(path, f"holds other numbers of bits than {choices}", MEASURED_AGAIN)
        return {}
    return known


def write_sensitivity(path: Path, sensitivities: Iterable[Sensitivity], chosen: Mapping[str, int]) -> None:
    """The sweep as CSV; ``chosen`` is 1 where a weight got these bits."""
    text = io.StringIO()
    rows = [
        {**asdict(item), "kl": f"{item.kl:.6g}", "chosen": int(chosen[item.weight] == item.bits)}
        for item in sensitivities
    ]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_sensitivity(path: Path) -> tuple[list[Sensitivity], dict[str, int]]:
    """The sweep that :func:`write_sensitivity` wrote, and the bits that every weight got.

    Raises:
        UserError: the file is missing or has other columns.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        sensitivities = [
            Sensitivity(row["weight"], int(row["parameters"]), int(row["bits"]), int(row["bytes"]), float(row["kl"]))
            for row in rows
        ]
        chosen = {row["weight"]: int(row["bits"]) for row in rows if row["chosen"] == "1"}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no sweep of a mixed member ({error!r}); give its sensitivity.csv") from None
    if not sensitivities or set(chosen) != {item.weight for item in sensitivities}:
        raise UserError(f"{path}: not every weight has its bits; give the sensitivity.csv of a finished mixed member")
    return sensitivities, chosen
