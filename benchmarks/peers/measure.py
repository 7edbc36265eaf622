"""Decode and time peers and members in one process, against the teacher's file."""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.clips import Clip, clips_of
from benchmarks.peers.peer import Made, Peer, Source
from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.config.names import TEACHER
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.scoring import Bootstrap, count_errors, rate
from diminuendo.evaluation.timing import speed_of, spread, take_turns
from diminuendo.metrics.normalizers import normalizer_of
from diminuendo.metrics.unit import CHARACTERS, unit_of
from diminuendo.runtime.ctc import decode_text
from diminuendo.runtime.recognizer import Recognizer

OURS = "diminuendo"


@dataclass(frozen=True)
class Row:
    """A line of the table; without figures where ``problem`` says why there are none.

    ``errors`` is the rate that the leaderboard goes by (``measure``, after the normaliser), ``raw`` the same rate of
    texts as they are.
    """

    tool: str
    version: str
    settings: str
    problem: str | None = None
    bytes: int | None = None
    measure: str | None = None
    normalizer: str | None = None
    errors: float | None = None
    errors_interval: tuple[float, float] | None = None
    delta: float | None = None
    delta_interval: tuple[float, float] | None = None
    raw: float | None = None
    real_time_factor: float | None = None
    times_faster: float | None = None
    times_faster_interval: tuple[float, float] | None = None


def measure(
    peers: tuple[Peer, ...],
    members: dict[str, Path],
    corpus: PreparedCorpus,
    config: EvaluateConfig,
    *,
    seed: int,
    calibration_utterances: int,
    utterances: int | None = None,
    seconds: tuple[float, float] = (0.0, math.inf),
    joined: bool = False,
    where: tuple[str, str] | None = None,
    checkpoint: Path | None = None,
    say=print,
) -> list[Row]:
    """Rows of the members, the teacher first, then of the peers.

    Args:
        members: name to folder, the teacher among them.
        utterances: of the test split that are decoded, drawn by the seed; None: all.
        seconds, joined, where: see :func:`~benchmarks.peers.clips.clips_of`.
        checkpoint: see :class:`~benchmarks.peers.peer.Source`.
        calibration_utterances: of train, drawn by the seed as the ``quantize`` stage draws them.
    """
    calibration = calibration_audio(corpus, calibration_utterances, seed)
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        made = {
            name: Made(Recognizer(path / MODEL, threads=1), bytes_of_files(path / MODEL))
            for name, path in members.items()
        }
        labels = {name: (OURS, "", name) for name in members}
        problems = {}
        for number, peer in enumerate(peers):
            labels[peer.name] = peer.distribution, peer.version or "—", peer.settings
            work = Path(folder, str(number))
            work.mkdir()
            source = Source(members[TEACHER], calibration, work, checkpoint)
            if peer.version is None:
                problems[peer.name] = "not installed"
            elif isinstance(tried := _attempt(peer, source), Made):
                made[peer.name] = tried
            else:
                problems[peer.name] = tried
            say(f"{peer.name}: {problems.get(peer.name, 'ready')}")
        clips = _drawn(clips_of(corpus, seconds, joined, where), utterances, seed)
        figures = _figures(made, corpus, clips, config, seed, say)
    return [
        Row(*label, problems[name]) if name in problems else Row(*label, **figures[name])
        for name, label in labels.items()
    ]


def _attempt(peer: Peer, source: Source) -> Made | str:
    """The model, or why there is none: a tool's failure on this model is a finding, of whatever kind it is."""
    try:
        made = peer.make(source)
        hear = made.decoder.text_of if hasattr(made.decoder, "text_of") else made.decoder.greedy_path
        hear(source.calibration[0])
        return made
    except Exception as error:
        reason = (str(error).strip() or "no message").splitlines()[0]
        return f"failed: {type(error).__name__}: {reason[:160]}"


def _hearer(made: Made, tokens: Sequence[str]) -> Callable[[np.ndarray], str]:
    """Waveform to text; ``tokens`` are those of a decoder that gives frames."""
    if hasattr(made.decoder, "text_of"):
        return made.decoder.text_of
    return lambda waveform: decode_text(made.decoder.greedy_path(waveform), tokens)


def _drawn(test: list[Clip], count: int | None, seed: int) -> list[Clip]:
    """So many of them, in their order; all where there are no more."""
    if count is None or count >= len(test):
        return test
    return [test[i] for i in sorted(np.random.default_rng(seed).choice(len(test), count, replace=False))]


def _figures(
    made: dict[str, Made], corpus: PreparedCorpus, test: list[Clip], config: EvaluateConfig, seed: int, say
) -> dict[str, dict]:
    # A peer is made from the teacher and writes its tokens; a member may have tokens of its own.
    transcribers = {name: _hearer(model, made[TEACHER].decoder.model.tokens) for name, model in made.items()}
    references = [clip.text for clip in test]
    waveforms = [clip.waveform(corpus) for clip in test]
    bootstrap = Bootstrap(len(waveforms), config.bootstrap_samples, config.confidence, seed)
    unit, normalizer = unit_of(config.measure, references), normalizer_of(config.normalizer) or str

    def counted(texts: list[str], hypotheses: list[str]) -> tuple[np.ndarray, np.ndarray]:
        counts = count_errors(texts, hypotheses)
        if unit is CHARACTERS:
            return np.array([[one.character_errors, one.characters] for one in counts]).T
        return np.array([[one.word_errors, one.words] for one in counts]).T

    normalised = [normalizer(text) for text in references]
    errors, raw = {}, {}
    for name in made:
        hypotheses = [transcribers[name](waveform) for waveform in waveforms]
        raw[name] = rate(*counted(references, hypotheses))
        errors[name], lengths = counted(normalised, [normalizer(text) for text in hypotheses])
        say(f"{name}: {unit.rate.upper()} {rate(errors[name], lengths):.2%}, {made[name].bytes:,} bytes")
    seconds = np.array([clip.duration for clip in test])
    chosen = spread(seconds.tolist(), config.timing_utterances)

    taken = take_turns(transcribers, [waveforms[i] for i in chosen], config.timing_repeats)
    resampled = {name: bootstrap.rates(counts, lengths) for name, counts in errors.items()}

    def limits(interval) -> tuple[float, float]:
        return interval.low, interval.high

    figures = {}
    for name in made:
        speed = speed_of(taken[name], taken[TEACHER], seconds[chosen], config.confidence)
        figures[name] = {
            "bytes": made[name].bytes,
            "measure": unit.rate,
            "normalizer": config.normalizer,
            "errors": rate(errors[name], lengths),
            "errors_interval": limits(bootstrap.interval(resampled[name])),
            "delta": rate(errors[name], lengths) - rate(errors[TEACHER], lengths),
            "delta_interval": limits(bootstrap.interval(resampled[name] - resampled[TEACHER])),
            "raw": raw[name],
            "real_time_factor": speed["real_time_factor"],
            "times_faster": speed["times_faster"],
            "times_faster_interval": tuple(speed["times_faster_interval"].values()),
        }
    return figures


@contextlib.contextmanager
def _one_thread():
    """PyTorch on one thread, and tools without their progress and advice."""
    import torch

    threads, disabled = torch.get_num_threads(), logging.root.manager.disable
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        logging.disable(disabled)
