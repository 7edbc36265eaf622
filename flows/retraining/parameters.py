"""``params.yaml`` on the branch of retraining: that of the checkout, with ``data.collected`` naming the collection.

No other line may differ: a later edit of it in the checkout could not be merged.
"""

from __future__ import annotations

from typing import Any

import yaml

from diminuendo.core.errors import UserError

SECTION, KEY = "data", "collected"


def with_collected(text: str, folder: str) -> str:
    """The text with ``data.collected`` set, and every other character as it was.

    Raises:
        UserError: it has no section ``data`` of its own to be edited.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    section = _value(root, SECTION)
    if isinstance(section, yaml.MappingNode) and section.value:
        if (old := _value(section, KEY)) is not None:
            begin, end, new = old.start_mark.index, old.end_mark.index, folder
        else:
            first = section.value[0][0].start_mark
            begin = end = first.index
            new = f"{KEY}: {folder}" + (", " if section.flow_style else "\n" + " " * first.column)
        changed = text[:begin] + new + text[end:]
        if yaml.safe_load(changed) == _with(yaml.safe_load(text), folder):
            return changed
    raise UserError(f"params.yaml: {SECTION}.{KEY}: cannot be set here; commit it as `{KEY}: {folder}`")


def differs_in_collected_alone(base: str, ours: str, theirs: str, folder: str) -> bool:
    """Whether ``theirs`` with ``data.collected`` set to ``folder`` is what both sides want.

    It is where ours names the collection and is otherwise the base, and theirs names no third folder.
    """
    try:
        old, own, new = (yaml.safe_load(text) for text in (base, ours, theirs))
        before, now, wanted = (side[SECTION].get(KEY) for side in (old, own, new))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False
    return now == folder and own == _with(old, folder) and wanted in (before, folder)


def _with(tree: Any, folder: str) -> Any:
    return {**tree, SECTION: {**tree[SECTION], KEY: folder}}


def _value(mapping: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = mapping.value if isinstance(mapping, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)
