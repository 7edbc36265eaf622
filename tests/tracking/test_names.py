from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_logged_model_name, _validate_metric_name, _validate_param_name

from diminuendo.tracking.names import KEY_LENGTH, TAG_LENGTH, metric_name, model_name, text

# What names are made of, and what breaks them: more of the latter than chance would bring.
NAMES = st.lists(st.sampled_from([*"a/., _:-~\n\0é語", "..", "long" * 40]) | st.characters(), max_size=9).map("".join)


@given(NAMES)
def test_every_name_is_one_that_mlflow_takes(name):
    made = metric_name(name)
    _validate_metric_name(made)
    _validate_param_name(made)
    assert 0 < len(made) <= KEY_LENGTH and "\n" not in made
    assert metric_name(made) == made


@given(st.lists(NAMES, unique=True))
def test_two_names_never_become_one(names):
    assert len(set(map(metric_name, names))) == len(names)
    assert len(set(map(model_name, names))) == len(names)


@given(st.lists(st.lists(NAMES, min_size=2, max_size=3).map(tuple), unique=True))
def test_a_slash_in_a_part_does_not_make_two_parts(lists):
    assert len({metric_name(*parts) for parts in lists}) == len(lists)


def test_a_name_that_mlflow_takes_stays():
    for name in ("train/loss", "wer/female: 20-30", "wer/gender=".rstrip("=") + "/männlich", "training.learning_rate"):
        assert metric_name(name) == name
    assert metric_name("bytes_of/scales, biases and norms").startswith("bytes_of/scales_ biases and norms-")


@given(NAMES)
def test_a_logged_model_can_have_any_member_s_name(name):
    _validate_logged_model_name(model_name(name))


def test_texts_are_cut_where_mlflow_would_refuse_them():
    assert text("a\0b\udc80", TAG_LENGTH) == "a␀b?"
    cut = text("x" * (TAG_LENGTH + 1), TAG_LENGTH)
    assert len(cut) == TAG_LENGTH and cut.endswith("x…")
