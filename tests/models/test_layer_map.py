import pytest

from diminuendo.core.errors import UserError
from diminuendo.models.layer_map import layer_map


@pytest.mark.parametrize(
    ("student", "teacher", "layers"),
    [(3, 6, [0, 2, 5]), (1, 4, [3]), (4, 4, [0, 1, 2, 3]), (2, 2, [0, 1]), (3, 2, [0, 0, 1])],
)
def test_layers_are_spread_from_the_first_to_the_last(student, teacher, layers):
    assert layer_map(student, teacher) == layers


def test_a_chosen_map_is_taken_as_it_is():
    assert layer_map(3, 6, (0, 1, 2)) == [0, 1, 2]


@pytest.mark.parametrize("layers", [[0], [0, 4], [0, 1, 2], [-1, 2]])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(UserError, match="from 0 to 3 for every layer"):
        layer_map(2, 4, layers)
