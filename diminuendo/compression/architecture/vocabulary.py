"""Fewer tokens: of a small model that writes token after token, its table of tokens is a third of all parameters.

A product that writes English needs none of the tokens of other scripts, nor most of those of other languages. Rows are
taken out of the table and nothing is trained (as Abdaoui et al. 2020 do for BERT): the scores of the tokens that are
left are as before. So a text of them alone comes out the same, and where another token would have been written, what
comes is the likeliest that is left: often the same letters in shorter tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diminuendo.compression.architecture.config import VocabularyConfig
from diminuendo.compression.architecture.expected import expected_tokens
from diminuendo.core.errors import UserError
from diminuendo.data.byte_level import bytes_of
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.data.special import SPECIAL
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.trimmed import with_tokens

# Code points of letters with and without accents, and of punctuation, currencies and signs that all scripts use.
_LATIN = ((0x0, 0x250), (0x1E00, 0x1F00), (0x2000, 0x2C00))


def trim(
    model: SpeechModel, corpus: PreparedCorpus, config: VocabularyConfig, seed: int
) -> tuple[SpeechModel, list[str], dict[str, Any]]:
    """A copy of ``model`` that has the chosen tokens only, these tokens, and the figures.

    Args:
        corpus: in the tokens that the model writes.
    Raises:
        UserError: the model does not write token after token, does not know a language, or would keep every token.
    """
    if not model.record.trims_tokens:
        model.record.with_tokens(())  # says why not
    tokens = corpus.tokens
    of_figures = {index for index, token in enumerate(tokens) if config.figures is False and _has_figures(token)}
    expected = None if config.most is None else expected_tokens(model, corpus, seed)
    chosen = _chosen(tokens, config, expected, of_figures)
    bytes_alone = {index for index, token in enumerate(tokens) if len(token) == 1}
    needed = (_needed(corpus) - of_figures) | bytes_alone
    # Those of languages that it cannot be told any more stay as well: the probability that nobody speaks is one beside
    # theirs.
    others = {index for index, token in enumerate(tokens) if token.startswith(SPECIAL)}
    kept = sorted(corpus.tokenizer.joined_from(chosen | needed) | others)
    # Bytes that are figures stay like all bytes, and are not written.
    trimmed = with_tokens(model, kept, config.languages, sorted(of_figures & bytes_alone))
    if trimmed.record == model.record:
        raise UserError(
            f"vocabulary: all of the {len(tokens)} tokens would stay: those that are chosen, single bytes, what the "
            "corpus' texts need and what these are joined from; give a smaller most or other characters, or leave the "
            "member out"
        )
    figures = {
        "tokens_before": len(tokens),
        "tokens": len(kept),
        "of_corpus": len(needed - chosen),  # which stay for the corpus' texts, and as single bytes, alone
        "parameters_before": parameter_count(model),
        "parameters": parameter_count(trimmed),
    }
    return trimmed, [tokens[index] for index in kept], figures


def _chosen(
    tokens: Sequence[str], config: VocabularyConfig, expected: np.ndarray | None, left_out: set[int]
) -> set[int]:
    """Tokens of text that the settings name.

    Args:
        expected: how much each is, ``[V]``, of those where the settings say how many.
        left_out: these are never chosen.
    """
    text = (index for index, token in enumerate(tokens) if not token.startswith(SPECIAL) and index not in left_out)
    written = [index for index in text if _written_in(tokens[index], config.characters)]
    if expected is not None:
        written = sorted(written, key=lambda index: (-expected[index], index))[: config.most]
    return set(written)


def _written_in(token: str, characters: str) -> bool:
    """Whether a token is whole characters of these."""
    if characters == "any":
        return True
    try:
        text = bytes_of(token).decode("utf-8")
    except UnicodeDecodeError:
        return False
    if characters == "ascii":
        return text.isascii()
    return all(any(low <= ord(character) < high for low, high in _LATIN) for character in text)


def _has_figures(token: str) -> bool:
    """Whether a token has a digit, or another sign for a number, such as ½; words are none, in any script."""
    text = bytes_of(token).decode("utf-8", errors="ignore")
    return any(unicodedata.category(character).startswith("N") for character in text)


def _needed(corpus: PreparedCorpus) -> set[int]:
    """Tokens of what is trained on, and of the same words with capitals, which a model writes that learned from books.

    Where the corpus has its texts in lower case, nothing but a guess says which words begin with a capital.
    """
    texts = (utterance.text for split in (corpus.train, corpus.dev) for utterance in split if utterance.text)
    forms = {form for text in texts for form in _forms(text, corpus.lowercase)}
    return {index for form in forms for index in corpus.tokenizer.encode(form)}


def _forms(text: str, lowercase: bool | str) -> Iterator[str]:
    yield text
    if lowercase:
        yield " ".join(word[:1].upper() + word[1:] for word in text.split())
