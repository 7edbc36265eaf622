"""The architecture sections that ``params.yaml`` may have, told apart by their ``kind``; nothing here imports torch.

A family that can be trained from scratch has a line in the union; ``parent`` is a narrower or shallower copy of
whatever a student's parent is.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from diminuendo.models.conformer.config import ArchitectureConfig as ConformerArchitecture
from diminuendo.models.parent_architecture import ParentArchitecture

__all__ = ["ArchitectureConfig"]


def _kind(section: Any) -> str:
    kind = section.get("kind", "conformer") if isinstance(section, dict) else getattr(section, "kind", "conformer")
    return kind if kind == "parent" else "conformer"  # whose own error names a kind that is not known


ArchitectureConfig = Annotated[
    Annotated[ConformerArchitecture, Tag("conformer")] | Annotated[ParentArchitecture, Tag("parent")],
    Discriminator(_kind),
]
