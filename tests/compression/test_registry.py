"""The doors of every technique's package."""

import pytest

from diminuendo.artifact.code import modules_reachable, training_modules_of
from diminuendo.compression.member import Member
from diminuendo.compression.registry import (
    FAMILY_SECTIONS,
    TECHNIQUES,
    config_of,
    description_of,
    technique_of,
    writing_of,
)


@pytest.mark.parametrize("section", FAMILY_SECTIONS)
def test_every_door_is_there(section):
    assert issubclass(config_of(section), Member)
    assert callable(technique_of(section).schedule)
    assert callable(writing_of(section).write) and callable(writing_of(section).load)
    assert description_of(section).making and description_of(section).made


def test_techniques_are_told_apart_in_a_figure():
    looks = [(description_of(section).colour, description_of(section).marker) for section in FAMILY_SECTIONS]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(looks)


@pytest.mark.parametrize("section", FAMILY_SECTIONS)
def test_what_trains_does_not_import_what_writes_the_files(section):
    """Else an edit of the writing would train again."""
    found = modules_reachable([f"{TECHNIQUES[section]}.technique"])
    assert not {"diminuendo.export.trained", "diminuendo.export.write"} & set(found)
    assert not [name for name in found if name.endswith(".writing")]
    trained = set(training_modules_of(section))
    assert f"{TECHNIQUES[section]}.technique" in trained and f"{TECHNIQUES[section]}.config" in trained
    assert not [name for name in trained if name.startswith("diminuendo.export") or name.endswith("onnx_writer")]


@pytest.mark.parametrize(
    ("section", "parameters", "words"),
    [
        ("distill", {}, ""),
        (
            "compress_architecture",
            {"remove_layers": {"count": 1}, "low_rank": {"budget": 0.5}},
            "low rank, remove layers",
        ),
        ("prune", {"structured": {"heads": 0.5}, "magnitude": None}, "structured"),
        ("quantize", {"scheme": "int8_weight", "quantization_aware": False}, "int8_weight"),
        ("quantize", {"scheme": "mixed", "quantization_aware": True}, "mixed, quantization-aware"),
        ("quantize", {"scheme": "int4_weight", "aware": True}, "int4_weight, quantization-aware"),  # an older record
    ],
)
def test_a_record_is_told_in_words(section, parameters, words):
    assert description_of(section).in_record(parameters) == words
