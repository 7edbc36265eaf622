"""A shipped ``model.onnx`` opened in ONNX Runtime.

Shapes: ``B`` utterances, ``N`` samples, ``T`` output frames, ``V`` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from diminuendo.artifact.checksum import is_damaged
from diminuendo.artifact.external_data import check_data, mapped
from diminuendo.artifact.formats import FRAMES_FORMAT, TEXT_FORMAT
from diminuendo.artifact.stated import PREFIX, stated_in
from diminuendo.artifact.wire import metadata_in
from diminuendo.config.remedy import repro
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import one_line

BLANK = 0
SPECIAL = "<special:"  # what begins so stands for no text, such as the end of a sentence in a foreign vocabulary
SPARE_FRAMES = 64  # of an output beyond twice what the audio has: of padding, and of rounding
THREADS_PER_CORE = 4  # at most; thousands would use up the memory
INPUTS = ("waveform", "waveform_lengths")
OUTPUTS = ("log_probs", "lengths")


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options of all sessions; raises ``UserError`` for more threads than make sense on this machine."""
    cores = available_cores()
    if threads > THREADS_PER_CORE * cores:
        raise UserError(
            f"threads: {threads}, expected at most {THREADS_PER_CORE * cores}: this process may use {cores} cores, "
            "and more threads than cores make it slower"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # A worker that spins between two runs would keep its core from other work.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


class AcousticModel:
    """Waveforms in, CTC log-probabilities out.

    An ONNX file is data: loading one runs no code of its author, and no custom operator library is ever registered.

    Args:
        path: the ``model.onnx``.
        threads: of one run; 0 means every core that the process may use.

    Raises:
        UserError: the file or the one with its weights is missing or damaged, is not ONNX, or lacks our metadata.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.path = Path(path)
        self._session = open_session(self.path, threads or available_cores())
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get("diminuendo.format") == TEXT_FORMAT:
            raise UserError(
                f"{self.path}: a model that writes its text itself, without frames; expected one with CTC "
                "log-probabilities"
            )
        if metadata.get("diminuendo.format") != FRAMES_FORMAT:
            raise UserError(
                f"{self.path}: an ONNX file, but not a model of diminuendo: its metadata key 'diminuendo.format' is "
                f"{metadata.get('diminuendo.format')!r}, expected {FRAMES_FORMAT!r}; give a models/<name>/model.onnx"
            )
        found = tuple(node.name for node in self._session.get_inputs())
        given = tuple(node.name for node in self._session.get_outputs())
        if set(found) != set(INPUTS) or not set(OUTPUTS) <= set(given):
            expected = f"expected {INPUTS} and {OUTPUTS}"
            raise UserError(f"{self.path}: inputs {found} and outputs {given}, {expected}; export the model again")
        try:
            stated = stated_in(metadata)
        except ValueError as error:
            raise UserError(f"{self.path}: its metadata is damaged: {error}; export the model again") from None
        self.tokens: list[str] = ["" if token.startswith(SPECIAL) else token for token in stated.tokens]
        self.sample_rate = stated.sample_rate  # Hz
        self.frame_seconds = stated.frame_seconds  # of audio per output frame
        self.name = stated.name

    def log_probs(self, waveform: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Natural-log CTC posteriors float32 [B, T, V] and valid frames int64 [B].

        Args:
            waveform: float32 [B, N], −1 to 1, zero padded, at ``sample_rate``.
            lengths: int64 [B], samples.
        """
        feeds = {"waveform": waveform, "waveform_lengths": lengths}
        log_probs, frames = self._run(OUTPUTS, feeds)
        self._check(log_probs, waveform)
        if frames.shape != (len(waveform),) or not np.issubdtype(frames.dtype, np.integer):
            raise UserError(f"{self.path}: its output 'lengths' has shape {frames.shape}; export the model again")
        return log_probs, frames

    def log_probs_of(self, waveform: np.ndarray) -> np.ndarray:
        """Natural-log CTC posteriors float32 [T, V] of one waveform float32 [N]."""
        feeds = {"waveform": waveform[None], "waveform_lengths": np.array([len(waveform)], dtype=np.int64)}
        (log_probs,) = self._run(OUTPUTS[:1], feeds)
        self._check(log_probs, feeds["waveform"])
        return log_probs[0]  # without padding every frame is valid

    def _run(self, outputs: Sequence[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return run_session(self._session, self.path, outputs, feeds)

    def _check(self, log_probs: np.ndarray, waveform: np.ndarray) -> None:
        """Refuse an output that does not go with the tokens and the frame length that the metadata states."""
        B, N = waveform.shape
        most = 2 * N / self.sample_rate / self.frame_seconds + SPARE_FRAMES
        shape = log_probs.shape
        if len(shape) != 3 or shape[0] != B or shape[2] != len(self.tokens) or not 0 < shape[1] <= most:
            raise UserError(
                f"{self.path}: its output has shape {shape} for {B} waveforms of {N / self.sample_rate:.2f} s, which "
                f"does not go with its {len(self.tokens)} tokens and frames of {self.frame_seconds:g} s; export the "
                "model again"
            )
        if log_probs.dtype != np.float32:
            raise UserError(f"{self.path}: its output is {log_probs.dtype}, expected float32; export the model again")


def format_of(path: str | Path) -> str | None:
    """The format that a file states, from its bytes alone; None where there is none, or no such file."""
    try:
        with mapped(path) as content:
            return metadata_in(content).get(f"{PREFIX}format")
    except (OSError, ValueError, UserError):
        return None  # who opens it says what is wrong


def best_path(log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token int32 [T] and log-probability float32 [T] of the greedy path through [T, V]."""
    tokens = log_probs.argmax(axis=-1).astype(np.int32)
    return tokens, np.take_along_axis(log_probs, tokens[:, None], axis=-1)[:, 0].astype(np.float32)


def run_session(
    session: onnxruntime.InferenceSession, path: Path, outputs: Sequence[str], feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """The outputs of one run; raises ``UserError`` where there are none."""
    try:
        return session.run(outputs, feeds)
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        reason = one_line(str(error).partition("\n")[0])[:300]
        raise UserError(f"{path}: ONNX Runtime cannot run it ({reason}); export the model again") from error


_opened: list[bool] = []  # whether this process has opened a session, and so may have threads


def opened_sessions() -> bool:
    """Whether this process has opened a session, which may have threads."""
    return bool(_opened)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session of a file that was looked at; raises ``UserError`` for one that is none, or is damaged."""
    if path.is_dir():
        raise UserError(f"{path}: a folder, expected an ONNX file; did you mean {path / 'model.onnx'}?")
    if not path.exists():
        raise UserError(f"{path}: there is no such model file; {repro(path)} makes models/<name>/model.onnx")
    if is_damaged(path):
        raise UserError(
            f"{path}: damaged: its content does not match the checksum that it carries; "
            "`diminuendo verify` says more, and a whole copy is needed"
        )
    check_data(path)
    options = session_options(threads)
    _opened[:] = [True]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        reason = one_line(str(error).partition("\n")[0])[:300]
        problem = f"ONNX Runtime cannot load it as a model ({reason})"
        raise UserError(f"{path}: {problem}; is it a complete ONNX file?") from error
