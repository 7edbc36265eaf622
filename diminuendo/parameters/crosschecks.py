"""What must be true between numbers of ``params.yaml`` that are each within their limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diminuendo.config.names import TEACHER
from diminuendo.parameters.schema import Params

FEWEST_PARAMETERS = 1000  # that a count (structured.parameters) can mean
SMALLEST_WINDOW = 16  # samples
MOST_SPEEDS = 100
FEWEST_PACKED = 4  # bits of a weight that products read as it is stored
MOST_TABLE = 20_000_000  # numbers


def disagreements(params: Params) -> list[str]:
    """A sentence for each."""
    problems = [*_of_frontend(params.frontend, params.data.sample_rate, "frontend"), *_of_retraining(params)]
    problems += _of_augmentation(params.training.augmentation, "training.augmentation", params.frontend.mels)
    for name, (stage, member) in params.members.items():
        path = name if name == TEACHER else f"{stage}.{name}"
        problems += _of_member(params, name, member, path)
    return list(dict.fromkeys(problems))


def _of_frontend(frontend: Any, sample_rate: int, path: str) -> Iterator[str]:
    if frontend.low_hz >= frontend.high_hz:
        yield f"{path}.low_hz: {frontend.low_hz:g} Hz must be below high_hz ({frontend.high_hz:g} Hz)"
    window, hop = (round(seconds * sample_rate) for seconds in (frontend.window_seconds, frontend.hop_seconds))
    if window < SMALLEST_WINDOW:
        yield (
            f"{path}.window_seconds: {frontend.window_seconds:g} s are {window} samples at {sample_rate} Hz; "
            f"expected {SMALLEST_WINDOW} or more"
        )
    elif _table_size(window) > MOST_TABLE:
        yield (
            f"{path}.window_seconds: {frontend.window_seconds:g} s are {window} samples at {sample_rate} Hz, a number "
            "with too few divisors for a fast transform; give one a little shorter or longer"
        )
    if hop > window:
        yield (
            f"{path}.hop_seconds: {frontend.hop_seconds:g} s are longer than a window "
            f"({frontend.window_seconds:g} s), and what lies between two windows would not be heard"
        )
    if frontend.mels > max(1, window // 2):
        yield (
            f"{path}.mels: {frontend.mels} bands, and a window of {window} samples has {window // 2} frequencies; "
            "give fewer bands or a longer window"
        )


def _table_size(window: int) -> int:
    """Numbers in the tables of a Fourier transform in two steps (``features.mel``), by the best of its divisors."""
    steps = ((window // columns, columns) for columns in range(1, window + 1) if window % columns == 0)
    return min(rows * (rows + 2) + (rows // 2 + 1) * (2 * columns) ** 2 for rows, columns in steps)


def _of_augmentation(augmentation: Any, path: str, mels: int) -> Iterator[str]:
    for key in ("noise_snr_db", "gain_db"):
        low, high = getattr(augmentation, key)
        if low > high:
            yield f"{path}.{key}: [{low:g}, {high:g}] must be [lowest, highest]"
    if not 1 <= len(augmentation.speed) <= MOST_SPEEDS:
        yield f"{path}.speed: expected 1 to {MOST_SPEEDS} factors, found {len(augmentation.speed)}; [1.0] changes none"
    if augmentation.mel_masks and augmentation.mel_mask_bands > mels:
        yield f"{path}.mel_mask_bands: {augmentation.mel_mask_bands}, and there are {mels} bands (frontend.mels)"


def _of_member(params: Params, name: str, member: Any, path: str) -> Iterator[str]:
    architecture = getattr(member, "architecture", None)
    if getattr(architecture, "frontend", None) is not None:
        own = params.frontend.with_overrides(architecture.frontend)
        yield from _of_frontend(own, params.data.sample_rate, f"{path}.architecture.frontend")
    structured = getattr(member, "structured", None)
    if structured is not None and structured.parameters is not None and 1 <= structured.parameters < FEWEST_PARAMETERS:
        yield (
            f"{path}.structured.parameters: {structured.parameters:g} parameters are too few for any model; a share is "
            f"below 1, a number of parameters {FEWEST_PARAMETERS} or more"
        )
    budget = getattr(member, "budget", None)
    if getattr(member, "packed", False) and budget is not None and (budget.bits or FEWEST_PACKED) < FEWEST_PACKED:
        yield (
            f"{path}.budget.bits: {budget.bits:g}, and packed weights have {FEWEST_PACKED} or 8 bits each; give "
            f"{FEWEST_PACKED} or more, or packed: false"
        )
    if not member.trains:
        return
    training = params.training_of(name)
    if training.final_learning_rate > training.learning_rate:
        yield (
            f"{path}.training.final_learning_rate: {training.final_learning_rate:g} is above learning_rate "
            f"({training.learning_rate:g}), from which it falls"
        )
    own = member.training.augmentation
    if own is not None:
        yield from _of_augmentation(own, f"{path}.training.augmentation", params.frontend.mels)


def _of_retraining(params: Params) -> Iterator[str]:
    retrain = params.retrain
    if retrain is None:
        return
    rest = retrain.workspace.replace("{repository}", "")
    if "{" in rest or "}" in rest:
        yield (
            f"retrain.workspace: {retrain.workspace!r}; {{repository}} stands for the name of this one, and no other "
            "braces may be in it"
        )
    if retrain.dev_fraction + retrain.test_fraction > 1:
        yield (
            f"retrain.dev_fraction and test_fraction: {retrain.dev_fraction:g} and {retrain.test_fraction:g} are more "
            "than all new speakers"
        )
