"""What an interrupted evaluation decoded is there for the next one, though a setting was changed in between."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from diminuendo.evaluation import family
from stages import evaluate


def test_hypotheses_outlive_a_change_of_settings(tmp_path, monkeypatch):
    taken_from = []

    @contextmanager
    def context_of(stage):
        yield SimpleNamespace(
            models={},
            corpus=None,
            params=SimpleNamespace(evaluate=None, seed=1),
            family=SimpleNamespace(models=tmp_path, params=Path("params.yaml")),
            out=tmp_path,
            output=tmp_path,
            work=tmp_path / "evaluate" / f"fingerprint-{len(taken_from)}",
        )

    def killed(*_, work, **__):
        taken_from.append(work)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "stage_context", context_of)
    monkeypatch.setattr(family, "evaluate_family", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate.main()
    first, second = taken_from
    assert first == second and first.parent == tmp_path / "evaluate"
