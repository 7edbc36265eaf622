"""A shipped ``model.onnx`` opened in ONNX Runtime.

Shapes: ``B`` utterances, ``N`` samples, ``T`` output frames, ``V`` tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime

from diminuendo.artifact.checksum import is_damaged
from diminuendo.artifact.external_data import check_data
from diminuendo.config.remedy import repro
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError

FORMAT = "1"
BLANK = 0
SPECIAL = "<special:"  # what begins so stands for no text, such as the end of a sentence in a foreign vocabulary
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
        self._session = _open_session(self.path, threads or available_cores())
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get("diminuendo.format") != FORMAT:
            raise UserError(
                f"{self.path}: an ONNX file, but not a model of diminuendo: its metadata key 'diminuendo.format' is "
                f"{metadata.get('diminuendo.format')!r}, expected {FORMAT!r}; give a models/<name>/model.onnx"
            )
        found = tuple(node.name for node in self._session.get_inputs())
        given = tuple(node.name for node in self._session.get_outputs())
        if set(found) != set(INPUTS) or not set(OUTPUTS) <= set(given):
            expected = f"expected {INPUTS} and {OUTPUTS}"
            raise UserError(f"{self.path}: inputs {found} and outputs {given}, {expected}; export the model again")
        try:
            stored = [str(token) for token in json.loads(metadata["diminuendo.tokens"])]
            self.tokens: list[str] = ["" if token.startswith(SPECIAL) else token for token in stored]
            self.sample_rate = int(metadata["diminuendo.sample_rate"])  # Hz
            self.frame_seconds = float(metadata["diminuendo.frame_seconds"])  # of audio per output frame
            self.name = metadata["diminuendo.name"]
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{self.path}: its metadata is damaged ({error!r}); export the model again") from error
        if not self.tokens or self.sample_rate <= 0 or self.frame_seconds <= 0:
            missing = "no tokens, or no sample rate or frame length"
            raise UserError(f"{self.path}: its metadata names {missing}; export the model again")

    def log_probs(self, waveform: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Natural-log CTC posteriors float32 [B, T, V] and valid frames int64 [B].

        Args:
            waveform: float32 [B, N], −1 to 1, zero padded, at ``sample_rate``.
            lengths: int64 [B], samples.
        """
        feeds = {"waveform": waveform, "waveform_lengths": lengths}
        log_probs, frames = self._session.run(OUTPUTS, feeds)
        return log_probs, frames

    def log_probs_of(self, waveform: np.ndarray) -> np.ndarray:
        """Natural-log CTC posteriors float32 [T, V] of one waveform float32 [N]."""
        feeds = {"waveform": waveform[None], "waveform_lengths": np.array([len(waveform)], dtype=np.int64)}
        return self._session.run(OUTPUTS[:1], feeds)[0][0]  # without padding every frame is valid


def best_path(log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token int32 [T] and log-probability float32 [T] of the greedy path through [T, V]."""
    tokens = log_probs.argmax(axis=-1).astype(np.int32)
    return tokens, np.take_along_axis(log_probs, tokens[:, None], axis=-1)[:, 0].astype(np.float32)


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
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
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        reason = str(error).splitlines()[0][:300]
        problem = f"ONNX Runtime cannot load it as a model ({reason})"
        raise UserError(f"{path}: {problem}; is it a complete ONNX file?") from error
