import pytest
import torch

from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.core.errors import UserError
from tests.factories.models import digest_of_weights, speech_batch, tiny_layer, tiny_model
from tests.factories.transformer.module import tiny_transformer


def test_a_student_of_the_same_shape_becomes_its_teacher():
    student, teacher = tiny_model(seed=1), tiny_model()
    filled = initialise_from_teacher(student, teacher)
    assert set(filled) == set(student.state_dict())
    assert digest_of_weights(student) == digest_of_weights(teacher)


def test_a_narrower_student_takes_leading_slices_of_the_layers_it_follows():
    student, teacher = tiny_model(2, width=6, seed=1), tiny_model(4)
    teacher_before = digest_of_weights(teacher)
    initialise_from_teacher(student, teacher)
    ours, theirs = student.layers[1].feed_forward_1.up, teacher.layers[3].feed_forward_1.up
    assert torch.equal(ours.weight, theirs.weight[:, :6]) and torch.equal(ours.bias, theirs.bias)
    assert torch.equal(student.layers[0].norm.weight, teacher.layers[0].norm.weight[:6])
    assert torch.equal(student.out.weight, teacher.out.weight[:, :6])
    assert digest_of_weights(teacher) == teacher_before
    student(*speech_batch())[0].sum().backward()


def test_what_is_wider_or_absent_keeps_its_own_start():
    layers = (tiny_layer(feed_forward_1=20, ranks={"attention.query": 2}),)
    student, before = tiny_model(layers, seed=1), tiny_model(layers, seed=1)
    filled = initialise_from_teacher(student, tiny_model(1))
    for name in ("layers.0.feed_forward_1.up.weight", "layers.0.attention.query.down.weight"):
        assert name not in filled
        assert torch.equal(student.state_dict()[name], before.state_dict()[name])
    assert "layers.0.attention.key.weight" in filled


def test_layers_may_be_chosen():
    student, teacher = tiny_model(2, seed=1), tiny_model(4)
    initialise_from_teacher(student, teacher, [0, 1])
    assert torch.equal(student.layers[1].norm.weight, teacher.layers[1].norm.weight)
    assert torch.equal(student.layers[1].feed_forward_2.up.weight, teacher.layers[1].feed_forward_2.up.weight)


@pytest.mark.parametrize("layers", [[0], [0, 4], [0, 1, 2]])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(UserError, match="from 0 to 3 for every layer"):
        initialise_from_teacher(tiny_model(2), tiny_model(4), layers)


def test_units_with_weight_are_taken_before_units_without():
    """A teacher of whose units half do nothing is the same model as a student of half the units."""
    teacher, gone = tiny_model(3), {"feed_forward_1": 5, "feed_forward_2": 4, "convolution": 3}
    with torch.no_grad():
        for layer in teacher.layers:
            for module, count in gone.items():
                part = getattr(layer, module)
                reader = part.out if module == "convolution" else part.down
                reader.weight[:, torch.randperm(reader.weight.shape[1])[:count]] = 0
            layer.attention.out.weight[:, :4] = 0  # the first of two heads
    halves = tiny_layer(heads=1, feed_forward_1=7, feed_forward_2=6, convolution=5)
    student = tiny_model((halves,) * 3, seed=1)
    assert set(initialise_from_teacher(student, teacher)) == set(student.state_dict())
    heard = speech_batch()
    assert torch.allclose(student.eval()(*heard)[0], teacher.eval()(*heard)[0], atol=1e-5)


def test_heads_of_another_width_start_anew():
    student, before = (tiny_model((tiny_layer(head_width=2),), seed=1) for _ in range(2))
    filled = initialise_from_teacher(student, tiny_model(1))
    assert not any("attention" in name for name in filled) and "layers.0.convolution.out.weight" in filled
    assert torch.equal(student.layers[0].attention.query.weight, before.layers[0].attention.query.weight)


def test_a_teacher_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"the teacher is of kind conformer and .* transformer-of-.*initialise: random"):
        initialise_from_teacher(tiny_transformer(), tiny_model())


def test_a_student_of_which_nothing_can_be_filled_is_refused():
    wide = tiny_layer(heads=3, head_width=6, feed_forward_1=20, feed_forward_2=20, convolution=20, kernel=7)
    student = tiny_model((wide,), width=16, vocabulary=9, subsampling_channels=5)
    with pytest.raises(UserError, match=r"nothing could be copied.*give widths up to.*or initialise: random"):
        initialise_from_teacher(student, tiny_model())
