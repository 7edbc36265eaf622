"""A shipped file that writes its text itself, token after token, opened in ONNX Runtime.

Shapes: ``B`` utterances, ``N`` samples, ``L`` tokens, ``V`` vocabulary, ``A`` alignment heads, ``T`` encoder frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.artifact.stated import decoding_in, stated_in
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.data.byte_level import bytes_of
from diminuendo.runtime.model import INPUTS, SPARE_FRAMES, SPECIAL, open_session, run_session

OUTPUTS = ("tokens", "log_probs", "lengths")
OPTIONAL_OUTPUTS = ("alignment", "no_speech")
OPTIONAL_INPUTS = ("prompt", "max_tokens", "temperature", "seed")
MOST_HEADS = 4096
ROUNDING = 1e-3  # by which a log-probability may lie above 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a file wrote for one utterance.

    Attributes:
        tokens: int64 [n], without the end.
        log_probs: float32 [n or n + 1], of each token, the end last where it came.
        alignment: float32 [A, n or n + 1, T], where each token looked in the audio, the end token last where it came;
            None: the file does not say.
        no_speech: probability that nobody speaks; None: the file does not say.
    """

    tokens: np.ndarray
    log_probs: np.ndarray
    alignment: np.ndarray | None = None
    no_speech: float | None = None

    @property
    def mean_log_prob(self) -> float:
        """Over the tokens and the end."""
        return float(self.log_probs.sum()) / (len(self.tokens) + 1)


class TextModel:
    """Waveforms in, tokens out.

    Args:
        path: the ``model.onnx``.
        threads: of one run; 0 means every core that the process may use.

    Attributes:
        spelt: [V], each token as the file spells it; ``tokens`` are the same with nothing where it stands for no text.
        sample_rate: Hz.
        frame_seconds: of audio per encoder frame.
        samples: the most that are heard at once.

    Raises:
        UserError: the file or the one with its weights is missing or damaged, is not ONNX, or is no such file.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.path = Path(path)
        self._session = open_session(self.path, threads or available_cores())
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get("diminuendo.format") != TEXT_FORMAT:
            raise UserError(
                f"{self.path}: its metadata key 'diminuendo.format' is {metadata.get('diminuendo.format')!r}, "
                f"expected {TEXT_FORMAT!r}"
            )
        self._check_doors()
        try:
            stated = stated_in(metadata)
            self.decoding = decoding_in(metadata, len(stated.tokens))
            for token in stated.tokens:
                bytes_of(token)
        except ValueError as error:
            raise UserError(f"{self.path}: its metadata is damaged: {error}; export the model again") from None
        except KeyError as error:
            raise UserError(
                f"{self.path}: its metadata is damaged: tokens have the character {error} among them, which spells no "
                "byte; export the model again"
            ) from None
        self.spelt = stated.tokens
        self.tokens: list[str] = ["" if token.startswith(SPECIAL) else token for token in stated.tokens]
        self.sample_rate, self.frame_seconds, self.name = stated.sample_rate, stated.frame_seconds, stated.name
        self.samples = int(self.decoding.longest_seconds * self.sample_rate)

    def _check_doors(self) -> None:
        inputs = tuple(node.name for node in self._session.get_inputs())
        optional = {node.name for node in self._session.get_overridable_initializers()}
        outputs = tuple(node.name for node in self._session.get_outputs())
        if set(inputs) != set(INPUTS) or not {"prompt", "max_tokens"} <= optional or not set(OUTPUTS) <= set(outputs):
            raise UserError(
                f"{self.path}: inputs {inputs}, optional {tuple(sorted(optional))} and outputs {outputs}, expected "
                f"{INPUTS}, optional ('max_tokens', 'prompt') and {OUTPUTS}; export the model again"
            )
        self._outputs = (*OUTPUTS, *(name for name in OPTIONAL_OUTPUTS if name in outputs))
        self.has_temperature = {"temperature", "seed"} <= optional
        self.has_alignment = "alignment" in outputs

    def write(
        self,
        waveforms: Sequence[np.ndarray],
        prompt: Sequence[int] | None = None,
        most: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        aligned: bool = True,
    ) -> list[Written]:
        """What is written for each waveform float32 [N] of at most ``samples``, in one run.

        Args:
            prompt: tokens that the text begins with; None: those of the file, without times.
            most: tokens of a text; None: as many as the file allows.
            temperature: of sampling, with ``seed``; 0: the likeliest token each time.
            aligned: whether the alignment is asked for, if there is one.
        """
        lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
        padded = np.zeros((len(waveforms), max(1, int(lengths.max()))), dtype=np.float32)
        for row, waveform in zip(padded, waveforms):
            row[: len(waveform)] = waveform
        allowed = min(self.decoding.most_tokens, self.decoding.positions - len(prompt or ()))
        most = max(1, allowed if most is None else min(most, allowed))
        feeds = {"waveform": padded, "waveform_lengths": lengths, "max_tokens": np.array(most, dtype=np.int64)}
        if prompt is not None:
            feeds["prompt"] = np.array(prompt, dtype=np.int64)
        if temperature:
            feeds |= {"temperature": np.array(temperature, np.float32), "seed": np.array(seed, np.int64)}
        names = [name for name in self._outputs if aligned or name != "alignment"]
        found = dict(zip(names, run_session(self._session, self.path, names, feeds)))
        self._check(found, padded.shape, most)
        return [self._row(found, index) for index in range(len(waveforms))]

    def _row(self, found: dict[str, np.ndarray], index: int) -> Written:
        count = int(found["lengths"][index])
        alignment, no_speech = found.get("alignment"), found.get("no_speech")
        return Written(
            found["tokens"][index, :count],
            np.minimum(found["log_probs"][index, : count + 1], 0),
            None if alignment is None else alignment[index, :, : count + 1],
            None if no_speech is None else float(no_speech[index]),
        )

    def _check(self, found: dict[str, np.ndarray], heard: tuple[int, int], most: int) -> None:
        """Refuse outputs that do not go with each other and with what the metadata state."""
        B, N = heard
        tokens, log_probs, lengths = (found[name] for name in OUTPUTS)
        L = tokens.shape[1] if tokens.ndim == 2 else -1
        self._expect("tokens", tokens, tokens.dtype == np.int64 and tokens.shape == (B, L) and 0 <= L <= most)
        self._expect("tokens", tokens, not L or (tokens.min() >= 0 and tokens.max() < len(self.tokens)))
        right = log_probs.dtype == np.float32 and log_probs.shape == (B, L)
        self._expect("log_probs", log_probs, right and bool((log_probs <= ROUNDING).all()))
        right = lengths.dtype == np.int64 and lengths.shape == (B,)
        self._expect("lengths", lengths, right and lengths.min() >= 0 and lengths.max() <= L)
        if (looked := found.get("alignment")) is not None:
            longest = max(self.decoding.longest_seconds, N / self.sample_rate)
            frames = 2 * longest / self.frame_seconds + SPARE_FRAMES
            right = looked.dtype == np.float32 and looked.ndim == 4 and looked.shape[::2] == (B, L)
            right = right and 0 < looked.shape[1] <= MOST_HEADS and 0 < looked.shape[3] <= frames
            self._expect("alignment", looked, right and bool(np.isfinite(looked).all()))
        if (silent := found.get("no_speech")) is not None:
            right = silent.dtype == np.float32 and silent.shape == (B,)
            self._expect("no_speech", silent, right and bool(((silent >= 0) & (silent <= 1 + ROUNDING)).all()))

    def _expect(self, name: str, value: np.ndarray, right: bool) -> None:
        if not right:
            raise UserError(
                f"{self.path}: its output '{name}' ({value.dtype}, {list(value.shape)}) does not go with its other "
                f"outputs and its {len(self.tokens)} tokens; export the model again"
            )
