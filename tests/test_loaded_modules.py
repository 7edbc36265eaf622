"""Whatever a real run of a stage loads is in its digest, or on a list with the reason why it cannot change a number."""

import pytest

from diminuendo.artifact import code
from diminuendo.parameters import parse_params
from stages.declared import stage_names
from tests.factories.loaded import loaded_modules
from tests.factories.minute import minute_params

pytestmark = pytest.mark.timeout(900)  # two pipelines


@pytest.fixture
def loaded(minute_projects):
    return loaded_modules(minute_projects / "loaded")


def unused_code(address):
    """What the digest of this member leaves out, beside the lists."""
    name = address.partition("@")[2]
    members = parse_params(minute_params()).members
    return members[name][1].unused_code if name in members else ()


def test_every_stage_was_seen_with_its_workers_and_measuring_processes(loaded):
    assert {address.partition("@")[0] for address in loaded} == set(stage_names())
    assert "diminuendo.synthesis.worker" in loaded["prepare"]
    measuring = {f"diminuendo.evaluation.{name}" for name in ("accuracy", "timing", "memory")}
    assert measuring <= loaded["evaluate"]
    for address, names in loaded.items():
        assert f"stages.{address.partition('@')[0]}" in names or "stages.member" in names


def test_a_loaded_module_is_in_the_digest_or_on_a_list_with_a_reason(loaded):
    missing = {}
    for address, names in loaded.items():
        if found := code.unexplained(address.partition("@")[0], names, without=unused_code(address)):
            missing[address] = found
    assert not missing, "add an import or a root, or a reason to one of the lists in artifact/code.py"


def test_a_module_that_is_taken_out_of_the_digest_is_missed(loaded):
    for address, name in {
        "prepare": "diminuendo.synthesis.worker",
        "train_teacher": "diminuendo.data.text",
        "prune@student-slim": "diminuendo.data.prepared",
        "evaluate": "diminuendo.evaluation.memory",
    }.items():
        assert code.unexplained(address.partition("@")[0], loaded[address], without=[name]) == [name]


def test_every_reason_is_needed(loaded):
    """A list that outlives what it names hides the next module of that name."""
    drawn = "diminuendo.compression.quantization.figure"  # for members that the pipeline of a minute has none of
    not_run = ("diminuendo.cli", "stages.dependencies", "stages.measure_threads", drawn)
    reasons = {code.reason_for(name) for names in loaded.values() for name in names}
    listed = {**code.LEFT_OUT, **code.LOADED_ALONG}
    assert [key for key, reason in listed.items() if key not in not_run and reason not in reasons] == []
