"""How the settings of written texts are described to a reader: what is not asked, and so not in the record, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys whose null means that this is not asked, and how that is said; records leave nulls out.
_NOT_ASKED = {
    "max_compression": "no limit",
    "max_wer": "no limit",
    "min_log_prob": "no limit",
    "utterances": "all",
}


def stated(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a record of the stage ``label``, in order, with what stands there for nothing in words."""
    return dict(sorted((_NOT_ASKED | dict(parameters)).items()))
