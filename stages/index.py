"""Stage index: which files prepare reads, and what is in them. DVC runs it at each repro, so it imports little."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from diminuendo.errors import UserError
from diminuendo.files import digest_of_json, write_text
from diminuendo.raw.digests import Digests
from diminuendo.raw.index import build_index
from stages.interruption import end_with_ancestor, prompt_death

INDEX = Path("data/index.json")
KEPT = Path(".work/index")  # digests from the last time, a file for each source
USER_ERROR = 2  # as in stages.room, which imports too much


def current_index(data: dict[str, Any]) -> tuple[dict[str, dict[str, str]], int]:
    """The index as the files are now, and how many of them had to be read.

    Args:
        data: the section of ``params.yaml``.
    """
    source = digest_of_json([str(data.get(key)) for key in ("source", "path", "collected")])
    with Digests(KEPT / f"{source[:16]}.json") as digests:
        return build_index(data, digests), digests.read


def main() -> None:
    with prompt_death():
        if "DVC_STAGE" not in os.environ:
            end_with_ancestor()
        index, read = current_index(_section_data())
        # ASCII alone: a manifest may name what UTF-8 cannot hold.
        text = json.dumps(index, indent=1, sort_keys=True) + "\n"
        if not INDEX.is_file() or INDEX.read_text(encoding="utf-8") != text:
            write_text(INDEX, text)
        print(f"{sum(map(len, index.values()))} raw files, {read} of them read")


def _section_data(path: Path = Path("params.yaml")) -> dict[str, Any]:
    """Read without the checks of ``diminuendo.config``, whose import takes longer than all the rest."""
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
