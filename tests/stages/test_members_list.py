"""The list of members that ``evaluate`` and ``report`` depend on."""

import json

from diminuendo.compression.registry import TECHNIQUES
from stages.index import members_of


def test_a_section_that_is_empty_or_absent_makes_no_difference():
    parameters = {"seed": 1, "prune": {"slim": {"from": "teacher"}}}
    expected = {"prune": {"slim": {"from": "teacher"}}}
    assert json.loads(members_of(parameters)) == expected
    assert members_of(parameters | {"quantize": {}, "distill": None}) == members_of(parameters)


def test_another_order_of_the_members_is_another_list():
    first, second = ({name: {"from": "teacher"} for name in names} for names in ("ab", "ba"))
    assert members_of({"prune": first}) != members_of({"prune": second})


def test_every_technique_is_listed():
    sections = {section: {f"of-{section}": {"from": "teacher"}} for section in TECHNIQUES}
    assert json.loads(members_of({"data": {}, **sections})) == sections
