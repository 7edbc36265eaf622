"""The sweep as a picture: which parts of a model are sensitive to rounding, and the bits that each got.

    python -m diminuendo.compression.quantization.figure models/slim-mixed/sensitivity.csv sensitivity.png

draws that of a finished member.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from diminuendo.compression.quantization.sensitivity import CHOICES, Sensitivity, read_sensitivity
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file

FLOOR = 1e-7  # nats; what is less has no colour of its own
DPI = 110


def module_of(weight: str) -> str:
    """``layers.3.attention`` of ``layers.3.attention.query.weight``."""
    layer = re.match(r"(.*\.\d+\.[^.]+)\.", weight)
    return layer.group(1) if layer else ".".join(weight.split(".")[:2]).removesuffix(".weight")


def by_module(sensitivities: Iterable[Sensitivity], chosen: Mapping[str, int]) -> dict[str, tuple[list[float], float]]:
    """Module to the summed divergence of its weights at each of ``CHOICES``, and to the mean of the bits they got."""
    kl: dict[str, dict[int, float]] = {}
    got: dict[str, list[tuple[int, int]]] = {}
    for item in sensitivities:
        module = module_of(item.weight)
        at = kl.setdefault(module, dict.fromkeys(CHOICES, 0.0))
        at[item.bits] += item.kl
        if chosen[item.weight] == item.bits:
            got.setdefault(module, []).append((item.parameters, item.bits))
    return {
        module: (list(at.values()), sum(n * bits for n, bits in got[module]) / sum(n for n, _ in got[module]))
        for module, at in kl.items()
    }


def draw_sensitivity(path: Path, sensitivities: Iterable[Sensitivity], chosen: Mapping[str, int]) -> None:
    """Write a PNG: a row per module, a column per number of bits, divergence in nats per frame as colour."""
    modules = by_module(sensitivities, chosen)
    values = np.maximum([kl for kl, _ in modules.values()], FLOOR)
    figure, axes = plt.subplots(figsize=(6, 1.2 + 0.24 * len(modules)), layout="constrained")
    image = axes.imshow(values, norm=LogNorm(FLOOR, max(values.max(), 10 * FLOOR)), aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(CHOICES)), [str(bits) for bits in CHOICES])
    axes.set_yticks(range(len(modules)), [f"{name}  ({bits:.1f})" for name, (_, bits) in modules.items()], fontsize=8)
    axes.set_xlabel("bits of this module alone; in brackets the mean that it got")
    figure.colorbar(image, label="divergence, nats per frame")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    try:
        source, target = map(Path, sys.argv[1:])
    except ValueError:
        raise SystemExit(
            "usage: python -m diminuendo.compression.quantization.figure SENSITIVITY.CSV PICTURE.PNG"
        ) from None
    try:
        draw_sensitivity(target, *read_sensitivity(source))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
