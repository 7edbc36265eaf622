"""The table of model types, and the doors that it leads to."""

from importlib import import_module

import pytest

from diminuendo.models.families import FAMILIES, PRETRAINED, PRETRAINED_WHOLE
from diminuendo.models.registry import model_family

DOORS = [(table, kind) for table in (PRETRAINED, PRETRAINED_WHOLE) for kind in sorted(set(table.values()))]


@pytest.mark.parametrize(("table", "kind"), DOORS)
def test_the_table_names_what_each_door_reads(table, kind):
    door = import_module(f"{FAMILIES[kind]}.pretrained")
    assert set(door.MODEL_TYPES) == {model_type for model_type, other in table.items() if other == kind}
    assert model_family(kind).kind == kind
