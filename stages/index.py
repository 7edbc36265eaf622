"""Stage index: which files prepare reads, and what is in them. DVC runs it at each repro, so it imports little."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.files import write_text
from diminuendo.family import current
from diminuendo.raw.index import build_index
from stages.interruption import end_with_ancestor, exit_on_signal

KEPT = Path(".work/index")  # what each source's digests were the last time


def main() -> None:
    with exit_on_signal():
        if "DVC_STAGE" not in os.environ:
            end_with_ancestor()
        family = current()
        index, path = build_index(_section_data(family.params), KEPT), family.index
        if not path.is_file() or path.read_bytes() != index.text().encode():
            write_text(path, index.text())
        print(f"{len(index)} raw files, {index.read} of them read")


def _section_data(path: Path) -> dict[str, Any]:
    """Read without the checks of ``diminuendo.parameters``, whose import takes longer than everything else."""
    import yaml

    try:
        data = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["data"]
        if not isinstance(data, dict):
            raise TypeError(f"it is {data!r}")
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        wanted = "expected data.source, data.path and data.collected"
        raise UserError(f"{path}: the section 'data' cannot be read ({error}); {wanted}") from None
    return data


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: index: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
