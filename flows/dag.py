"""``make dag``: the stages of a family on one screen. ``dvc dag`` draws one box for each, many screens wide.

``python -m flows.dag``; ``DIMINUENDO_PARAMS`` names the parameter file.
"""

from __future__ import annotations

import sys

from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.plain_text import echo
from diminuendo.family import current
from diminuendo.parameters import Params, load_params
from diminuendo.report.family import draw_family


def draw_stages(params: Params) -> str:
    """The stages in the order in which they run; every member stands below the one that it is made from."""
    stages = "\n".join(f"  {line}" for line in draw_family(params).splitlines())
    return f"index → prepare → a stage for each member → evaluate → report\n\n{stages}"


def main() -> None:
    try:
        echo(draw_stages(load_params(current().params)))
    except UserError as error:
        echo(f"error: {error}", err=True)
        sys.exit(USER_ERROR)


if __name__ == "__main__":
    main()
