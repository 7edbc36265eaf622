"""Profile a shipped file: where its time goes, and how far it is from the limits of the machine.

The profiler slows down a small model, so its times are used as shares only: they are scaled to the time of a session
without it. Both sessions and the two limits take turns, so that other work on the machine affects them equally.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from diminuendo.artifact.external_data import data_of, mapped
from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.core.errors import UserError
from diminuendo.profiling import limits
from diminuendo.profiling.events import Node, nodes, read_events
from diminuendo.profiling.modules import mark_modules, module_of_node
from diminuendo.runtime.model import AcousticModel, format_of, session_options
from diminuendo.runtime.seq2seq.model import TextModel

SHORTEST, LONGEST = 0.01, 600.0  # seconds of audio
TOKENS = 16  # of the text that is scored, by a file that writes one: of noise alone it may write nothing
WARM = 5  # first runs allocate memory
LIMITS_EVERY = 20  # runs
_FOLDER = "session.model_external_initializers_file_folder_path"  # for a model that is given as bytes


@dataclass(frozen=True)
class Operator:
    """All calls of one operator, or of one module, in one run: their seconds, and their share of it."""

    name: str
    calls: int
    seconds: float
    share: float
    multiply_accumulates: int


@dataclass(frozen=True)
class Profile:
    """One run of a file over some audio, along some text, in seconds, multiply-accumulates and bytes."""

    path: str
    audio_seconds: float
    tokens: int  # of the text that it goes along; 0 for a file that writes none
    threads: int
    runs: int
    seconds: float
    profiler_slowdown: float
    operators: tuple[Operator, ...]
    modules: tuple[Operator, ...]
    multiply_accumulates: int
    bytes_moved: int
    peak_multiply_accumulates_per_second: float
    peak_bytes_per_second: float

    @property
    def calls(self) -> int:
        return sum(operator.calls for operator in self.operators)

    @property
    def arithmetic_share(self) -> float:
        """The share of the time that the products alone would take at the machine's peak."""
        return self.multiply_accumulates / self.peak_multiply_accumulates_per_second / self.seconds

    @property
    def memory_share(self) -> float:
        """The share of the time that memory traffic alone would take without caches."""
        return self.bytes_moved / self.peak_bytes_per_second / self.seconds


def profile(path: str | Path, seconds: float = 2.5, threads: int = 1, runs: int = 200) -> Profile:
    """Measure ``runs`` runs over ``seconds`` of noise; a file that writes its text itself goes along ``TOKENS`` tokens.

    Raises:
        UserError: it is not one of our files, or the length of audio makes no sense.
    """
    if not SHORTEST <= seconds <= LONGEST:
        raise UserError(f"--seconds: {seconds:g}, expected {SHORTEST:g} to {LONGEST:g} seconds of audio")
    opened = (TextModel if format_of(path) == TEXT_FORMAT else AcousticModel)(path, threads)
    sample_rate = opened.sample_rate  # it says what is wrong with a file that is not one of ours
    with mapped(path) as content:
        model = mark_modules(content)
    beside = data_of(path)  # the file with the weights, of a large model
    waveform = noise(seconds, sample_rate)
    feeds = {"waveform": waveform[None], "waveform_lengths": np.array([len(waveform)])}
    if isinstance(opened, TextModel):
        feeds["max_tokens"] = np.array(TOKENS)

    with TemporaryDirectory() as folder:

        def session(prefix: str = "", **entries: str) -> onnxruntime.InferenceSession:
            options = session_options(threads)
            if prefix:
                options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / prefix)
            for key, value in entries.items():
                options.add_session_config_entry(f"session.{key}", value)
            if beside:
                options.add_session_config_entry(_FOLDER, str(Path(path).parent.absolute()))
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        shaped = session("shaped", disable_prepacking="1")
        if "forced" in {value.name for value in shaped.get_inputs()}:  # an optional input of the format
            feeds["forced"] = np.arange(TOKENS)[None]
        shaped.run(None, feeds)
        plain, timed = session(), session("timed")
        peak, bandwidth = limits.arithmetic(threads), limits.memory(threads)
        taken: dict[str, list[float]] = {"plain": [], "timed": []}
        for turn in range(runs + WARM):
            for name, one in (("plain", plain), ("timed", timed)):
                taken[name].append(_seconds(lambda one=one: one.run(None, feeds)))
            if turn % LIMITS_EVERY == 0:  # seldom, because they evict the caches
                for _ in range(LIMITS_EVERY // 4):
                    peak.run()
                    bandwidth.run()
        events = [read_events(Path(one.end_profiling())) for one in (timed, shaped)]
        executed = nodes(*events, runs + WARM, WARM)

    total = float(np.median(taken["plain"][WARM:]))
    return Profile(
        path=str(path),
        audio_seconds=seconds,
        tokens=TOKENS if isinstance(opened, TextModel) else 0,
        threads=threads,
        runs=runs,
        seconds=total,
        profiler_slowdown=min(taken["timed"]) / min(taken["plain"]),
        operators=_grouped(executed, total, lambda node: node.operator),
        modules=_grouped(executed, total, lambda node: module_of_node(node.name)),
        multiply_accumulates=sum(node.multiply_accumulates for node in executed),
        bytes_moved=sum(node.bytes_moved for node in executed),
        peak_multiply_accumulates_per_second=peak.per_second,
        peak_bytes_per_second=bandwidth.per_second,
    )


def noise(seconds: float, sample_rate: int) -> np.ndarray:
    """White noise float32 [N], the same every time."""
    samples = round(seconds * sample_rate)
    return 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _grouped(executed: list[Node], total: float, key: Callable[[Node], str]) -> tuple[Operator, ...]:
    """Nodes grouped by a key, the slowest group first; their times add up to ``total``."""
    groups: dict[str, list[Node]] = defaultdict(list)
    for node in executed:
        groups[key(node)].append(node)
    whole = sum(node.seconds for node in executed)
    found = []
    for name, members in groups.items():
        share = sum(node.seconds for node in members) / whole
        work = sum(node.multiply_accumulates for node in members)
        found.append(Operator(name, sum(node.calls for node in members), share * total, share, work))
    return tuple(sorted(found, key=lambda group: (-group.seconds, group.name)))
