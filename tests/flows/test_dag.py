"""`make dag`: every stage of a family on one screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from diminuendo.parameters import load_params
from flows.dag import draw_stages


@pytest.mark.parametrize("path", ["params.yaml", "params/commands.yaml"])
def test_the_graph_fits_a_terminal_and_has_every_member(path):
    params = load_params(Path(path))
    lines = draw_stages(params).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == len(params.members) + 3
    for member in params.members:
        assert sum(f" {member} " in line for line in lines) == 1
