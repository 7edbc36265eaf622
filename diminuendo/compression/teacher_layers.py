"""Which layer of the family's teacher each layer of a member belongs to.

There is one map for each member: it is stored with the weights, composed from member to member, and followed by the
hidden-state loss wherever the family's teacher teaches.
"""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.compression.technique import Job
from diminuendo.config.names import TEACHER


def teacher_layers(job: Job, parent_layers: Sequence[int]) -> tuple[int, ...] | None:
    """The map of a member, from the map of its parent.

    Args:
        parent_layers: the parent's layer, from 0, for every layer of the member.
    Returns:
        the layer of the family's teacher, from 0, for every layer of the member; None: the parent's map is not known,
        as of models that were stored before it was kept.
    """
    if job.parent.name == TEACHER:
        return tuple(parent_layers)
    from diminuendo.models.store import load_model

    stored = load_model(job.parent).teacher_layers
    return None if stored is None else tuple(stored[layer] for layer in parent_layers)
