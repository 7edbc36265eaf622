import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import without_loops


def test_every_part_has_its_own_utterances():
    test = [SimpleNamespace(group=lambda key, value=value: value) for value in ("read", "learned", "read", None)]
    parts = without_loops.parts_of(SimpleNamespace(test=test), np.array([0, 1, 0, 0]), ["corpus"])
    assert {name: at.tolist() for name, at in parts.items()} == {
        "all": [0, 1, 2, 3],
        "where the teacher has no loop": [0, 2, 3],
        "corpus: None": [3],
        "corpus: learned": [1],
        "corpus: read": [0, 2],
    }


def test_where_nothing_is_evaluated_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["without_loops"])
    with pytest.raises(SystemExit):
        without_loops.main()
    assert capsys.readouterr().err.startswith("error: ")
