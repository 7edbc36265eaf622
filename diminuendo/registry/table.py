"""The registry for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from tabulate import tabulate

from diminuendo.registry.version import BYTES, REASON, Version
from diminuendo.report.format import NONE, percent, size


def terminal(versions: list[Version]) -> str:
    """One line per version, newest first; dates in UTC."""
    rows = [
        [
            one.version,
            ", ".join(one.aliases) or ("withdrawn" if one.withdrawn else NONE),
            one.member,
            f"{one.error_rate[0].upper()} {percent(one.error_rate[1])}" if one.error_rate is not None else NONE,
            size(int(one.tags[BYTES])) if BYTES in one.tags else NONE,
            one.digest[:12],
            f"{datetime.fromtimestamp(one.created / 1000, UTC):%Y-%m-%d %H:%M}",
            (one.git_tag or (one.git_commit or NONE)[:10]),
            one.tags.get(REASON, "") if one.withdrawn else "",
        ]
        for one in versions
    ]
    titles = ("version", "alias", "member", "errors %", "size", "digest", "registered", "git", "")
    align = ("right", "left", "left", "right", "right", "left", "left", "left", "left")
    return tabulate(rows, titles, tablefmt="simple", disable_numparse=True, colalign=align)
