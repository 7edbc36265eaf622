"""What ``verify`` says of one copy."""

from __future__ import annotations

from dataclasses import dataclass

from diminuendo.provenance.dvc_cache import DAMAGED, MISSING

UNSEEN = "not at hand"


@dataclass(frozen=True)
class Finding:
    """The result for one copy: ``what`` it is, and ``where``."""

    status: str
    what: str
    where: str
    detail: str = ""

    @property
    def is_bad(self) -> bool:
        return self.status in (DAMAGED, MISSING)
