"""What a text begins with: the language, the task, whether times are wanted, and what was said before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.runtime.seq2seq.bpe import Spelling
from diminuendo.runtime.seq2seq.model import TextModel

AUTO = "auto"  # the language that the file hears
TASKS = ("transcribe", "translate")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a file.

    Attributes:
        language: code, or ``auto``.
        task: ``transcribe``, or ``translate`` to English.
        before: tokens of a text that stands before what is said.
    """

    language: str
    task: str
    before: tuple[int, ...] = ()


def asked_of(model: TextModel, language: str | None, task: str | None, prompt: str | None) -> Asked:
    """What a user wants; None: as the file has it.

    Raises:
        UserError: the file does not know the language or the task.
    """
    known, own = model.decoding.languages, model.decoding.language
    language = own if language is None else language
    if language != AUTO and language != own and language not in known:
        codes = ", ".join(sorted(known)) if known else f"{own} alone"
        raise UserError(f"language: {model.path} does not know {language!r}; it knows {codes}")
    task = TASKS[0] if task is None else task
    if task not in TASKS:
        raise UserError(f"task: {task!r}, expected {' or '.join(TASKS)}")
    if task == TASKS[1] and (not known or model.decoding.translate is None):
        raise UserError(f"task: {model.path} cannot translate; it knows {own} alone")
    before = tuple(Spelling(model.spelt).tokens_of(f" {prompt.strip()}")) if prompt and prompt.strip() else ()
    return Asked(language, task, before)


def prompt_of(
    model: TextModel, language: str, task: str, timestamps: bool, before: Sequence[int] = ()
) -> tuple[int, ...]:
    """The tokens of a prompt; of the text before it, the last half of the positions at most."""
    decoding = model.decoding
    told = [decoding.start]
    if decoding.languages:
        asked = decoding.transcribe if task == TASKS[0] else decoding.translate
        told += [decoding.languages[language], *([] if asked is None else [asked])]
    if not timestamps:
        told.append(decoding.no_timestamps)
    kept = list(before)[-(decoding.positions // 2 - 1) :]
    return tuple([decoding.previous, *kept, *told] if kept else told)


def heard_language(model: TextModel, waveform: np.ndarray) -> str:
    """The language of a waveform float32 [N]: the token after ``start``; the file's own where it is none."""
    if not model.decoding.languages:
        return model.decoding.language
    (written,) = model.write([waveform], [model.decoding.start], most=1, aligned=False)
    codes = {token: code for code, token in model.decoding.languages.items()}
    first = int(written.tokens[0]) if len(written.tokens) else model.decoding.end
    return codes.get(first, model.decoding.language)
