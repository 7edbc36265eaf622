"""Train, dev and test, by the names that corpora give them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from diminuendo.core.errors import UserError
from diminuendo.importing.utterance import Found, Unusable

NONE = "none"  # what --split says of a split that is not wanted

# A letter after the name makes it another word: `validated.tsv` of Common Voice is no dev set.
_KNOWN = {
    "train": re.compile(r"(train|training|trn)(?![a-z])"),
    "dev": re.compile(r"(dev|development|valid|validation|val)(?![a-z])"),
    "test": re.compile(r"(test|testing|tst|eval|evaluation)(?![a-z])"),
}

_SHOWN = 10  # names of the source that a message lists


class Chosen(dict[str, str]):
    """What --split says, names of the source to ours; it keeps which names of the source a reader looked up."""

    def __init__(self, chosen: Mapping[str, str]):
        super().__init__(chosen)
        self._asked: dict[str, None] = {}

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self._asked[name] = None
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._asked[str(name)] = None
        return super().__contains__(name)

    def checked(self, found: Found) -> Found:
        """All that a reader finds.

        Raises:
            UserError: a name of --split was none that the reader came across, which can be said at the end alone.
        """
        yield from found
        for name in self:
            if name not in self._asked:
                others = ", ".join(map(repr, list(self._asked)[:_SHOWN]))
                more = ", …" if len(self._asked) > _SHOWN else ""
                there = f"those that there are: {others}{more}" if others else "it has none; leave --split away"
                raise UserError(f"--split {name}={self[name]}: the source has no split of this name; {there}")


def split_named(name: str, chosen: Mapping[str, str]) -> str | None:
    """The split of ours that a name of the source means; None where it means none of them.

    ``train-clean-100`` and ``train_si284`` are train, ``validation`` is dev and ``eval92`` is test; ``chosen``, from
    --split, comes first.
    """
    if (own := chosen.get(name)) is not None:
        return own
    lowered = name.strip().lower()
    return next((split for split, pattern in _KNOWN.items() if pattern.match(lowered)), None)


def required_split(name: str, chosen: Mapping[str, str]) -> str:
    """As ``split_named``, of a source that divides its utterances.

    Raises:
        Unusable: the name means none of ours, or is not wanted.
    """
    found = split_named(name, chosen)
    if found is None:
        raise Unusable(f"the split {name!r} is none of train, dev and test; --split {name}=train takes it")
    if found == NONE:
        raise Unusable(f"the split {name!r} is not wanted (--split {name}={NONE})")
    return found
