"""Whisper's text normalisers, by which recognisers are compared: what they make equal is no error of recognition.

``basic`` takes case, punctuation and what stands in brackets away; ``english``, which is the Open ASR Leaderboard's,
also spells contractions out, writes numbers in figures and spells in American English (Radford et al. 2022, "Robust
Speech Recognition via Large-Scale Weak Supervision", appendix C). Both come from the package ``whisper_normalizer``,
which needs no network and is imported only where a normaliser is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from diminuendo.core.errors import UserError

PACKAGE = "whisper_normalizer"
NO_NORMALIZER = {"name": "none"}  # what a record says where there is none


@dataclass(frozen=True)
class Normalizer:
    """Call it with a text.

    Attributes:
        name: ``basic`` or ``english``.
        version: of the package.
    """

    name: str
    version: str
    function: Callable[[str], str] = field(repr=False)
    known: dict[str, str] = field(default_factory=dict, repr=False, compare=False)  # every member has the references

    def __call__(self, text: str) -> str:
        """The normalised text.

        Raises:
            UserError: the package fails on this text.
        """
        if text not in self.known:
            try:
                self.known[text] = self.function(text)
            except Exception as error:  # it names no exceptions of its own
                raise UserError(
                    f"evaluate.normalizer: {self.name} ({PACKAGE} {self.version}) fails on the text {text[:200]!r} "
                    f"({type(error).__name__}: {error}); correct it if it is a reference, or set another normalizer"
                ) from error
        return self.known[text]

    @property
    def record(self) -> dict[str, str]:
        return {"name": self.name, "package": PACKAGE, "version": self.version}


def normalizer_of(name: str) -> Normalizer | None:
    """The normaliser that ``evaluate.normalizer`` names; None for ``none``.

    Raises:
        UserError: the package is not there.
    """
    if name == NO_NORMALIZER["name"]:
        return None
    try:
        return Normalizer(name, version(PACKAGE), _FUNCTIONS[name]())
    except (ImportError, PackageNotFoundError):
        raise UserError(
            f"evaluate.normalizer: {name} needs the package {PACKAGE}, which is not installed; install the "
            "requirements of this project again, or set normalizer: none"
        ) from None


def is_none(record: Mapping[str, str]) -> bool:
    """Whether a record says that nothing was normalised."""
    return record["name"] == NO_NORMALIZER["name"]


def in_words(record: Mapping[str, str]) -> str:
    """A record of :class:`Normalizer` for a reader: ``english (whisper_normalizer 0.1.15)``."""
    return f"{record['name']} ({record['package']} {record['version']})"


def told(record: Mapping[str, str]) -> str:
    """Which rates are of which texts, in two sentences; nothing where nothing was normalised."""
    if is_none(record):
        return ""
    return (
        f"WER and CER are of texts after the normaliser {in_words(record)}, references and hypotheses alike. Raw WER "
        "and raw CER are of the texts as the corpus has them and the model writes them."
    )


def _basic() -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer()


def _english() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


_FUNCTIONS = {"basic": _basic, "english": _english}
