"""Train, dev and test, by the names that corpora give them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from diminuendo.importing.utterance import Unusable

NONE = "none"  # what --split says of a split that is not wanted

# A letter after the name makes it another word: `validated.tsv` of Common Voice is no dev set.
_KNOWN = {
    "train": re.compile(r"(train|training|trn)(?![a-z])"),
    "dev": re.compile(r"(dev|development|valid|validation|val)(?![a-z])"),
    "test": re.compile(r"(test|testing|tst|eval|evaluation)(?![a-z])"),
}


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
