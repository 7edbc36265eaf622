"""The table of model types, and the doors that it leads to."""

from importlib import import_module

import pytest

from diminuendo.models.families import FAMILIES, PRETRAINED
from diminuendo.models.registry import model_family


@pytest.mark.parametrize("kind", sorted(set(PRETRAINED.values())))
def test_the_table_names_what_each_door_reads(kind):
    door = import_module(f"{FAMILIES[kind]}.pretrained")
    assert set(door.MODEL_TYPES) == {model_type for model_type, other in PRETRAINED.items() if other == kind}
    assert model_family(kind).kind == kind
