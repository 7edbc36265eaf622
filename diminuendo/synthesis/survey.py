"""Which voice variants are good enough for a corpus: ``python -m diminuendo.synthesis.survey > voices.tsv``.

Every variant of eSpeak NG says the same words. A word counts as understood when, among all words said by a few plain
voices, the nearest by dynamic time warping of cepstra (Sakoe & Chiba 1978) is the same word. This recogniser
needs no training; it is poor, but equally so for all, so a voice far below the others is hard to understand for people
too.
"""

from __future__ import annotations

import sys

import numpy as np

from diminuendo.synthesis.espeak import variants
from diminuendo.synthesis.pool import Request, SynthesisPool

RATE = 16000
WORDS = (  # noqa: SIM905
    "kitchen garden bedroom office yellow purple seven eleven fifteen fifty monday thursday tomorrow "
    "window light lamp play call set open close right left first third eggs rice rain london berlin"
).split()
PLAIN = ("m1", "m4", "f1", "f3", "max")
ACCENT = "en-us"


def cepstra(samples: np.ndarray) -> np.ndarray:
    """float32 [T, 12] every 20 ms, each coefficient at zero mean and unit variance over the word."""
    window, hop, size = 400, 320, 512
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, window)), window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), size)) ** 2
    mel = np.log1p(power @ _mel_triangles(size).T * 1e3)
    order, band = np.arange(1, 13)[:, None], np.arange(mel.shape[1]) + 0.5
    found = mel @ np.cos(np.pi / mel.shape[1] * order * band).T  # cosine transform
    return ((found - found.mean(0)) / (found.std(0) + 1e-3)).astype(np.float32)


def _mel_triangles(size: int, count: int = 26) -> np.ndarray:
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 7600 / 700), count + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


def warped_distances(query: np.ndarray, templates: list[np.ndarray]) -> np.ndarray:
    """[len(templates)]: cost of the best alignment of ``query`` [T, 12] with each, per frame of both."""
    lengths = np.array([len(t) for t in templates])
    padded = np.zeros((len(templates), lengths.max(), query.shape[1]), np.float32)
    for row, template in zip(padded, templates):
        row[: len(template)] = template
    local = np.linalg.norm(query[None, :, None] - padded[:, None], axis=-1)  # [templates, T, longest]
    total = np.full((len(templates), padded.shape[1] + 1), np.inf, np.float32)
    total[:, 0] = 0
    for t in range(len(query)):
        now = np.full_like(total, np.inf)
        for u in range(padded.shape[1]):
            best = np.minimum(np.minimum(total[:, u], total[:, u + 1]), now[:, u])
            now[:, u + 1] = best + local[:, t, u]
        total = now
    return total[np.arange(len(templates)), lengths] / (len(query) + lengths)


def main() -> None:
    voices = variants()
    requests = [Request(word, f"{ACCENT}+{voice}", 160, 50) for voice in voices for word in WORDS]
    with SynthesisPool(RATE, workers=2) as pool:
        spoken = [samples.astype(np.float32) / 32768 for samples in pool.speak(requests)]
    said = {voice: spoken[i * len(WORDS) : (i + 1) * len(WORDS)] for i, voice in enumerate(voices)}
    shapes = {voice: [cepstra(samples) for samples in words] for voice, words in said.items()}
    letters = sum(map(len, WORDS))
    print("variant\tunderstood\tms_per_letter\trms_db\tpeak\tclipped")
    for voice in voices:
        others = [plain for plain in PLAIN if plain != voice]
        templates = [shape for plain in others for shape in shapes[plain]]
        nearest = [int(np.argmin(warped_distances(shape, templates))) % len(WORDS) for shape in shapes[voice]]
        understood = np.mean([index == found for index, found in enumerate(nearest)])
        everything = np.concatenate(said[voice])
        seconds = len(everything) / RATE - 0.3 * len(WORDS)  # the silence left around each word
        level = 10 * np.log10(np.mean(everything**2))
        peak = np.abs(everything).max()
        clipped = np.mean(np.abs(everything) > 0.999)
        print(f"{voice}\t{understood:.0%}\t{1000 * seconds / letters:.0f}\t{level:.1f}\t{peak:.2f}\t{clipped:.4%}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
