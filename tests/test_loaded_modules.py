"""Whatever a real run of a stage loads is in its digest, or on a list with the reason why it cannot change a number."""

import pytest

from diminuendo.artifact import code
from stages.declared import stage_names
from tests.factories.loaded import loaded_modules

pytestmark = pytest.mark.timeout(900)  # two pipelines


@pytest.fixture
def loaded(minute_projects):
    return loaded_modules(minute_projects / "loaded")


def test_every_stage_was_seen_with_its_workers_and_measuring_processes(loaded):
    assert list(loaded) and set(loaded) == set(stage_names())
    assert "diminuendo.synthesis.worker" in loaded["prepare"]
    assert {"diminuendo.evaluation.accuracy", "diminuendo.evaluation.timing"} <= loaded["evaluate"]
    assert "diminuendo.evaluation.memory" in loaded["evaluate"]
    assert all(f"stages.{stage}" in names or "stages.member" in names for stage, names in loaded.items())


def test_a_loaded_module_is_in_the_digest_or_on_a_list_with_a_reason(loaded):
    missing = {stage: names for stage in stage_names() if (names := code.unexplained(stage, loaded[stage]))}
    assert not missing, "add an import, a root in artifact/code.py, or a reason to one of its lists"


def test_a_module_that_is_taken_out_of_the_digest_is_missed(loaded, monkeypatch):
    whole = code.modules_of
    monkeypatch.setattr(
        code, "modules_of", lambda *at: {k: v for k, v in whole(*at).items() if k != "diminuendo.data.text"}
    )
    assert code.unexplained("train_teacher", loaded["train_teacher"]) == ["diminuendo.data.text"]


def test_every_reason_is_needed(loaded):
    """A list that outlives what it names hides the next module of that name."""
    names = {name for modules in loaded.values() for name in modules}
    explained = {name for name in names if code.reason_for(name)}
    reasons = {code.reason_for(name) for name in explained}
    not_run = ("diminuendo.cli", "stages.dependencies", "stages.measure_threads")
    assert {reason for key, reason in {**code.LEFT_OUT, **code.LOADED_ALONG}.items() if key not in not_run} <= reasons
