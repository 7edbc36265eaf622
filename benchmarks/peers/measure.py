"""Decode and time peers and members in one process, against the teacher's file."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.peer import Decoder, Made, Peer, Source
from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.config.names import TEACHER
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.scoring import Bootstrap, count_errors, rate
from diminuendo.evaluation.timing import speed_of, spread, take_turns
from diminuendo.runtime.ctc import decode_text
from diminuendo.runtime.recognizer import Recognizer

OURS = "diminuendo"


@dataclass(frozen=True)
class Row:
    """A line of the table; without figures where ``problem`` says why there are none."""

    tool: str
    version: str
    settings: str
    problem: str | None = None
    bytes: int | None = None
    wer: float | None = None
    wer_interval: tuple[float, float] | None = None
    delta_wer: float | None = None
    delta_wer_interval: tuple[float, float] | None = None
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
    say=print,
) -> list[Row]:
    """Rows of the members, the teacher first, then of the peers.

    Args:
        members: name to folder, the teacher among them.
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
            source = Source(members[TEACHER], calibration, work)
            if peer.version is None:
                problems[peer.name] = "not installed"
            elif isinstance(tried := _attempt(peer, source), Made):
                made[peer.name] = tried
            else:
                problems[peer.name] = tried
            say(f"{peer.name}: {problems.get(peer.name, 'ready')}")
        figures = _figures(made, corpus, config, seed, say)
    return [
        Row(*label, problems[name]) if name in problems else Row(*label, **figures[name])
        for name, label in labels.items()
    ]


def _attempt(peer: Peer, source: Source) -> Made | str:
    """The model, or why there is none: a tool's failure on this model is a finding, of whatever kind it is."""
    try:
        made = peer.make(source)
        made.decoder.greedy_path(source.calibration[0])
        return made
    except Exception as error:
        reason = (str(error).strip() or "no message").splitlines()[0]
        return f"failed: {type(error).__name__}: {reason[:160]}"


def _figures(made: dict[str, Made], corpus: PreparedCorpus, config: EvaluateConfig, seed: int, say) -> dict[str, dict]:
    tokens = corpus.tokens
    references = [utterance.text for utterance in corpus.test]
    waveforms = [corpus.audio(utterance) for utterance in corpus.test]
    bootstrap = Bootstrap(len(waveforms), config.bootstrap_samples, config.confidence, seed)
    words = np.array([len(text.split()) for text in references])
    errors = {}
    for name, model in made.items():
        hypotheses = [decode_text(model.decoder.greedy_path(waveform), tokens) for waveform in waveforms]
        errors[name] = np.array([counts.word_errors for counts in count_errors(references, hypotheses)])
        say(f"{name}: {rate(errors[name], words):.2%} word errors, {made[name].bytes:,} bytes")
    seconds = np.array([utterance.duration for utterance in corpus.test])
    chosen = spread(seconds.tolist(), config.timing_utterances)

    def transcriber(decoder: Decoder) -> Callable[[np.ndarray], str]:
        return lambda waveform: decode_text(decoder.greedy_path(waveform), tokens)

    transcribers = {name: transcriber(model.decoder) for name, model in made.items()}
    taken = take_turns(transcribers, [waveforms[i] for i in chosen], config.timing_repeats)
    resampled = {name: bootstrap.rates(counts, words) for name, counts in errors.items()}

    def limits(interval) -> tuple[float, float]:
        return interval.low, interval.high

    figures = {}
    for name in made:
        speed = speed_of(taken[name], taken[TEACHER], seconds[chosen], config.confidence)
        figures[name] = {
            "bytes": made[name].bytes,
            "wer": rate(errors[name], words),
            "wer_interval": limits(bootstrap.interval(resampled[name])),
            "delta_wer": rate(errors[name], words) - rate(errors[TEACHER], words),
            "delta_wer_interval": limits(bootstrap.interval(resampled[name] - resampled[TEACHER])),
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
