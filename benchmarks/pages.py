"""Put the leaderboard of a finished family into the pages that show it: both READMEs and ``docs/results.md``.

``python -m benchmarks.pages`` is for the checkout's own family, ``--params params/NAME.yaml`` for a further one, which
the READMEs do not show; with ``--groups`` the page of results shows the tables by group as well. A page has a pair of
comments, ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``: what is between them is replaced. The plots are copied to
``docs/img``.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from diminuendo.cli.errors import plain_errors
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, write_text
from diminuendo.family import Family, family_of
from diminuendo.report.terminal import read_leaderboard

READMES = (Path("README.md"), Path("README.zh.md"))
RESULTS = Path("docs/results.md")
OWN = "home"  # the checkout's own family, on the page of results
LAST = "![Training curves]"  # figures by group follow, and what was quantized, which stays in the report
QUANTIZED = "\n## What is quantized"
PLOT = re.compile(r"\(plots/([^)]+)\)")


def pages_of(family: Family, groups: bool = False) -> tuple[dict[Path, str], dict[Path, bytes]]:
    """The new text of each page, and each plot of the page of results.

    Args:
        groups: the page of results shows the tables by group, too.

    Raises:
        UserError: there is no report, or a page has no place for it.
    """
    texts, name = {}, family.name or OWN
    if family.name is None:
        table = read_leaderboard(family.reports).partition("\n\n")[0]
        texts = {page: _replaced(page, "leaderboard", f"```\n{table}\n```\n") for page in READMES}
    report = family.reports / "leaderboard.md"
    whole = _read(report)
    begin, last = whole.find("| member "), whole.find(LAST)
    if begin < 0 or last < begin:
        raise UserError(f"{report}: a table and '{LAST}' were expected; run the pipeline again")
    end = whole.index("\n", last) + 1
    if groups:
        end = after if (after := whole.find(QUANTIZED)) > 0 else len(whole)
    shown = whole[begin:end]
    plots = {RESULTS.parent / f"img/{name}_{plot}": family.reports / "plots" / plot for plot in PLOT.findall(shown)}
    texts[RESULTS] = _replaced(RESULTS, name, PLOT.sub(rf"(img/{name}_\1)", shown))
    return texts, {to: _bytes(plot) for to, plot in plots.items()}


def _replaced(page: Path, name: str, content: str) -> str:
    text, marks = _read(page), [f"<!-- {name}: {end} -->\n" for end in ("begin", "end")]
    before, found, rest = text.partition(marks[0])
    _, also_found, after = rest.partition(marks[1])
    if not (found and also_found):
        raise UserError(f"{page}: no place for the leaderboard; expected lines '{marks[0][:-1]}' and '{marks[1][:-1]}'")
    return f"{before}{marks[0]}{content}{marks[1]}{after}"


def _read(path: Path) -> str:
    return _bytes(path).decode("utf-8")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); run it where the pipeline has run") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--params", default="params.yaml", help="parameter file of the family")
    parser.add_argument("--groups", action="store_true", help="show the tables by group on the page of results")
    given = parser.parse_args()
    with plain_errors():
        texts, plots = pages_of(family_of(given.params), given.groups)
        for path, text in texts.items():  # nothing is written before everything was read
            write_text(path, text)
        for path, content in plots.items():
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
        print("\n".join(map(str, (*texts, *plots))))


if __name__ == "__main__":
    main()
