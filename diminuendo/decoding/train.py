"""Word n-gram models from transcripts: back-off Kneser-Ney smoothing (Kneser & Ney 1995), by kaldingram."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file
from diminuendo.decoding.extra import require

IMPOSSIBLE = -99.0  # log10 of 0 in an ARPA file
RESERVED = ("<s>", "</s>")  # begin and end of a sentence, which no word may be


def train_language_model(texts: Iterable[str], order: int, out: Path) -> None:
    """Write an ARPA file of the texts, one sentence each, with spaces between words.

    Args:
        order: words of the longest n-gram, 2 to 5.

    Raises:
        UserError: ``out`` is a folder, there is too little text, or the extra ``decoding`` is not installed.
    """
    if out.is_dir():
        raise UserError(f"{out}: a folder, expected the name of a file to write")
    require("kaldingram")
    sentences = [text.split() for text in texts if text.split()]
    if not sentences:
        raise UserError("language model: the texts hold not one word")
    words = list(dict.fromkeys(word for sentence in sentences for word in sentence))
    for reserved in RESERVED:
        if reserved in words:
            raise UserError(f"language model: {reserved!r} stands in the texts, where only words may stand")
    names = {word: str(index) for index, word in enumerate(words)}
    with tempfile.TemporaryDirectory() as folder, atomic_file(out) as temporary:
        text, numbers = Path(folder) / "text", Path(folder) / "numbers.arpa"
        # Numbers instead of words: kaldingram reads bytes, and takes the last one of "à" for white space.
        text.write_text("".join(" ".join(names[word] for word in sentence) + "\n" for sentence in sentences))
        # In its own process, because it draws progress bars and frees its counts only when it ends.
        command = [sys.executable, "-m", "kaldingram.train", "--ngram-order", str(order), "--text", str(text)]
        done = subprocess.run([*command, "--lm", str(numbers)], capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
            raise UserError(f"language model: {len(sentences)} sentences give no {order}-grams ({reason})")
        named = [*_named(numbers.read_text().splitlines(), words, order)]
        temporary.write_text("".join(line + "\n" for line in named), encoding="utf-8")


def _named(lines: list[str], words: list[str], order: int) -> Iterator[str]:
    """The lines of an ARPA file with words instead of their numbers."""
    for line in lines:
        score, *rest = line.split("\t")
        if not rest:
            yield line
            continue
        gram = [part if part in RESERVED else words[int(part)] for part in rest[0].split()]
        if float(score) <= IMPOSSIBLE and gram != ["<s>"]:
            raise UserError(
                f"language model: the texts repeat too little to be discounted ({' '.join(gram)!r} would be "
                f"impossible); give more text or a lower order than {order}"
            )
        yield "\t".join([score, " ".join(gram), *rest[1:]])
