"""About how long a stage will take: its last duration, or an estimate from its parameters.

The estimate counts operations of training and of decoding, at the rate measured on a core of an AMD EPYC. Other
machines differ by a factor, which ``flows.progress`` learns from finished stages.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from diminuendo.artifact.lineage import LABEL
from diminuendo.compression.architecture.config import CompressArchitectureConfig
from diminuendo.compression.pruning.config import PruneConfig
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.config.names import TEACHER
from diminuendo.core.files import digest_of_json, write_json
from diminuendo.data.prepared import SPLITS, UNLABELLED
from diminuendo.family import Family
from diminuendo.models.parent_architecture import ParentArchitecture
from diminuendo.parameters import Params
from diminuendo.pretrained.checkpoint import Checkpoint, at_hand
from flows.graph import short

PAST = Path(".work/durations.json")

# Measured; in seconds unless noted.
START = 4.0  # of a stage's process: DVC, imports, checks of the inputs
SPOKEN_UTTERANCE = 0.008
READ_SECOND = 0.004  # a second of a recording, decoded and resampled
SECONDS_OF_A_COMMAND = 2.6  # assumed length of synthetic utterances, before they are made
OPERATIONS_A_SECOND = 45e9  # of a training on one thread, of a model of 2 million parameters or fewer
WIDER_IS_FASTER = 0.46  # the power of the size with which the rate grows: 130e9 of a model of 20 million
MOST_OPERATIONS_A_SECOND = 200e9
BFLOAT16 = 1.45  # times as fast in mixed precision, of 20 million parameters
BESIDES = 0.0008  # a second of audio in training, apart from the encoder: features, augmentation, the loss
DECODED_SECOND = 0.006
MEMBER_EVALUATED = 3.0
SWEEP = 7.0  # of a mixed scheme, beside the runs with every weight in every number of bits
SWEPT_WEIGHTS, SWEPT_BITS, PACKED_BITS, LAYERS = 8, 6, 2, 6  # of a layer; numbers of bits; layers where none are known
CALIBRATION = 3.0
REPORT = 4.0
MOST_SECONDS = 1e7  # that a stage is believed to have taken
# Assumed, not measured.
WRITTEN = 5e-8  # a parameter of a checkpoint, read, written in our formats and compared
PARAMETERS, FRAME_SECONDS = 95e6, 0.02  # of a checkpoint that is not on this machine


class Size(NamedTuple):
    """How much of a split there is."""

    seconds: float
    utterances: int


UNKNOWN = Size(600.0, 200)  # of a split of which nothing can be read


def expected_seconds(params: Params, family: Family, address: str) -> float:
    """Seconds on one core of the reference machine, for a stage of DVC's graph."""
    stage, _, member = short(address).partition("@")
    splits = _splits(params, family)
    audio = {split: size.seconds for split, size in splits.items()}
    if stage == "prepare":
        spoken = params.synthesis if params.data.source == "synthetic" else None
        count = spoken.train_utterances + spoken.dev_utterances + spoken.test_utterances if spoken else 0
        return START + (SPOKEN_UTTERANCE * count if spoken else READ_SECOND * sum(audio.values()))
    if stage == "evaluate":
        return START + sum(MEMBER_EVALUATED + _decoding(params, name) * audio["test"] for name in params.members)
    if stage == "report":
        return START + REPORT
    if stage == LABEL and member in params.label:
        labels, count = params.label[member], splits["train"].utterances
        share = min(1.0, (labels.utterances or count) / count) if count else 1.0
        heard = share * audio["train"] + audio["dev"] + audio.get(UNLABELLED, 0.0)
        return START + heard * _decoding(params, labels.parent)
    name = member or (TEACHER if stage == "train_teacher" else "")
    return START + _making(params, name, audio) if name in params.members else 1.0


def _making(params: Params, name: str, audio: dict[str, float]) -> float:
    """Training of a member, and what its technique does besides."""
    _, settings = params.members[name]
    if name == TEACHER and not settings.trains:
        return WRITTEN * parameters_of(params, TEACHER)
    if not settings.trains and settings.builds_models:
        return WRITTEN * parameters_of(params, name)
    besides = 0.0
    if isinstance(settings, QuantizeConfig):
        besides = _sweep(params, settings) if settings.scheme == "mixed" else CALIBRATION
        if not settings.quantization_aware:
            return besides
    training = params.training_of(name)
    heard = audio["train"] + (audio.get(UNLABELLED, 0.0) if training.unlabelled else 0.0)
    faster = BFLOAT16 if training.precision == "bfloat16" else 1.0
    own = 3 * _forward(params, name) / faster
    teacher = _forward(params, TEACHER) / faster
    phases = [(training.epochs, training.dev_every)]
    if isinstance(settings, PruneConfig) and settings.structured:
        phases += [(settings.structured.round_epochs, 1)] * (settings.structured.rounds - 1)
    learning = decoding = 0.0
    for epochs, dev_every in phases:
        asked = min(epochs, training.augmentation_copies or epochs) if settings.losses.needs_teacher else 0
        learning += epochs * (own + BESIDES) + asked * teacher
        decoding += epochs / dev_every * _decoding(params, name)
    return besides + audio["dev"] * decoding + heard * learning


def _sweep(params: Params, settings: QuantizeConfig) -> float:
    """Seconds to measure every weight in every number of bits."""
    layers = _sizes_of(params, settings.parent).get("layers") or LAYERS
    runs = layers * SWEPT_WEIGHTS * (PACKED_BITS if settings.packed else SWEPT_BITS)
    heard = settings.calibration_utterances * SECONDS_OF_A_COMMAND
    return SWEEP + runs * heard * _forward(params, settings.parent)


def _forward(params: Params, name: str) -> float:
    """Seconds for a second of audio through a member, once, on one thread."""
    size = parameters_of(params, name)
    rate = min(MOST_OPERATIONS_A_SECOND, OPERATIONS_A_SECOND * max(1.0, size / 2e6) ** WIDER_IS_FASTER)
    return 2 * size / _frame_seconds(params, name) / rate


def _decoding(params: Params, name: str) -> float:
    """Seconds to recognise a second of audio."""
    return max(DECODED_SECOND, _forward(params, name))


def parameters_of(params: Params, name: str) -> float:
    """The approximate number of parameters of a member while it is trained."""
    _, settings = params.members[name]
    architecture = getattr(settings, "architecture", None)
    if architecture is not None and architecture.kind != "parent":
        return architecture.about_parameters(params.frontend, params.text.about_tokens)
    if _begins_with_checkpoint(params, name):
        begun = _begun(params, name)
        return begun.about_parameters if begun is not None else PARAMETERS
    parent = parameters_of(params, params.parent_of(name))
    if architecture is not None:
        return parent * _share(params, settings.parent, architecture)
    match settings:
        case CompressArchitectureConfig(low_rank=rank, remove_layers=removed):
            share = rank.budget or 0.6 if rank else 1.0
            return parent * share * (0.85 ** (removed.count if removed else 0))
        case PruneConfig(structured=structured) if structured is not None:
            left = structured.parameters or structured.latency or 0.5
            return parent * left if left < 1 else left
    return parent


def _share(params: Params, parent: str, sizes: ParentArchitecture) -> float:
    """The share of its parent's parameters that a copy has, if feed-forwards are two thirds of a layer.

    A size whose value in the parent is not known is taken for half of it.
    """
    known = _sizes_of(params, parent)
    share = {
        key: min(1.0, wanted / known[key] if known.get(key) else 0.5)
        for key in ("layers", "width", "heads", "feed_forward")
        if (wanted := getattr(sizes, key)) is not None
    }
    inside = (2 * share.get("feed_forward", 1.0) + share.get("heads", 1.0)) / 3
    return share.get("layers", 1.0) * share.get("width", 1.0) * inside


def _sizes_of(params: Params, name: str) -> dict[str, int | None]:
    """What is known of a member's layers, width and units."""
    settings = params.members[name][1]
    if (architecture := getattr(settings, "architecture", None)) is not None:
        own = {key: getattr(architecture, key, None) for key in ("layers", "width", "heads", "feed_forward")}
        above = _sizes_of(params, settings.parent) if architecture.kind == "parent" else {}
        return above | {key: value for key, value in own.items() if value is not None}
    if not _begins_with_checkpoint(params, name):
        return _sizes_of(params, settings.parent)
    begun = _begun(params, name)
    return {} if begun is None else {"layers": begun.layers, "width": getattr(begun.record(1), "width", None)}


def _begins_with_checkpoint(params: Params, name: str) -> bool:
    return getattr(params.members[name][1], "pretrained", None) is not None


def _begun(params: Params, name: str) -> Checkpoint | None:
    """The checkpoint that a member begins with, if it is on this machine and can be used."""
    settings = params.members[name][1]
    return at_hand(settings.pretrained, settings.has_own_tokens)


def _frame_seconds(params: Params, name: str) -> float:
    architecture = getattr(params.members[name][1], "architecture", None)
    if architecture is not None and architecture.kind != "parent":
        return architecture.frame_seconds(params.frontend)
    if not _begins_with_checkpoint(params, name):
        return _frame_seconds(params, params.parent_of(name))
    begun = _begun(params, name)
    return begun.frame_seconds if begun is not None else FRAME_SECONDS


def _splits(params: Params, family: Family) -> dict[str, Size]:
    """The size of every split, from the prepared corpus, or estimated from the source."""
    try:
        splits = json.loads((family.corpus / "corpus.json").read_text(encoding="utf-8"))["splits"]
        return {split: Size(facts["seconds"], facts["utterances"]) for split, facts in splits.items()}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if params.data.source == "synthetic":
        counts = {split: getattr(params.synthesis, f"{split}_utterances") for split in (*SPLITS, UNLABELLED)}
        return {split: Size(SECONDS_OF_A_COMMAND * count, count) for split, count in counts.items()}
    found = {split: _manifest_size(Path(params.data.path) / f"{split}.jsonl") for split in (*SPLITS, UNLABELLED)}
    return found if any(size.seconds for size in found.values()) else dict.fromkeys(found, UNKNOWN)


@cache
def _manifest_size(path: Path) -> Size:
    total, count = 0.0, 0
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                total, count = total + float(json.loads(line)["duration"]), count + 1
    except (OSError, ValueError, KeyError, TypeError):  # `prepare` says what is wrong with it
        pass
    return Size(total, count)


def _is_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MOST_SECONDS


class Past:
    """The last durations of stages, by the parameters of the stage, kept in ``.work/durations.json``."""

    def __init__(self, params: Params, path: Path = PAST) -> None:
        self.path = path
        self._parameters = params.model_dump(mode="json", by_alias=True)
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        known = known if isinstance(known, dict) else {}
        self._known = {key: value for key, value in known.items() if _is_duration(value)}
        self._lock = threading.Lock()

    def seconds(self, address: str) -> float | None:
        return self._known.get(self._key(address))

    def note(self, address: str, seconds: float) -> None:
        with self._lock, suppress(OSError):  # a run must not fail because of an estimate
            self._known[self._key(address)] = round(seconds, 1)
            write_json(self.path, self._known)

    def _key(self, address: str) -> str:
        """The stage, and a digest of the parameters that its duration depends on most."""
        stage, _, member = short(address).partition("@")
        section = self._parameters.get(stage) or {}
        shared = [self._parameters[key] for key in ("data", "synthesis", "frontend", "training", "teacher")]
        own = section.get(member) if member else self._members() if stage in ("evaluate", "report") else None
        return f"{stage}@{member} {digest_of_json([shared, own])[:12]}"

    def _members(self) -> list[str]:
        return [name for section in FAMILY_SECTIONS for name in self._parameters.get(section) or {}]
