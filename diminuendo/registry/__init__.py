"""Which model is shipped: versions in the MLflow Model Registry, and the aliases that move between them.

A version is one digest. ``challenger`` marks the version that passed the gate last, ``champion`` the one
that is served. Earlier champions are kept in a tag of the registered model, for rollbacks.
"""

from diminuendo.registry.address import fetch, find
from diminuendo.registry.promotion import ChampionChanged, Refused, promote, rollback, still_holds
from diminuendo.registry.register import register
from diminuendo.registry.signature import attach
from diminuendo.registry.version import CHALLENGER, CHAMPION, NotWhole, Version, champion, is_whole, versions

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "ChampionChanged",
    "NotWhole",
    "Refused",
    "Version",
    "attach",
    "champion",
    "fetch",
    "find",
    "is_whole",
    "promote",
    "register",
    "rollback",
    "still_holds",
    "versions",
]
