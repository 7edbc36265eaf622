import json

import pytest
from safetensors.torch import load_file

from diminuendo.family import family_of
from diminuendo.parameters import parse_params
from diminuendo.pretrained.checkpoint import opened
from flows import estimate
from flows.estimate import Past, expected_seconds, parameters_of
from tests.factories import transformer  # noqa: F401  registers the family
from tests.factories.audio import RATE
from tests.factories.checkpoint import write_checkpoint
from tests.factories.minute import TINY, minute_params

OWN = family_of("params.yaml")


def params(**changes):
    raw = json.loads(json.dumps(minute_params()))
    for key, value in changes.items():
        raw[key] |= value
    return parse_params(raw)


def test_more_epochs_and_more_audio_take_longer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short, long = params(), params(teacher={"training": {"epochs": 20}})
    more = params(synthesis={"train_utterances": 240})
    one = expected_seconds(short, OWN, "train_teacher")
    assert one < expected_seconds(long, OWN, "train_teacher")
    assert one < expected_seconds(more, OWN, "train_teacher")
    assert expected_seconds(short, OWN, "prepare") < expected_seconds(more, OWN, "prepare")


def test_every_stage_of_a_family_has_an_estimate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = params()
    for name, (stage, _) in found.members.items():
        address = stage if stage == "train_teacher" else f"{stage}@{name}"
        assert 0 < expected_seconds(found, OWN, address) < 600
        assert expected_seconds(found, OWN, f"families/x/dvc.yaml:{address}") > 0


def test_the_teachers_size_is_about_right(tmp_path, monkeypatch):
    import torch

    from diminuendo.models.conformer.module import ConformerCTC
    from diminuendo.models.conformer.record import record_of
    from diminuendo.models.model import parameter_count

    raw = json.loads(json.dumps(minute_params()))  # whose sections are shared with other tests
    raw["teacher"]["architecture"] |= {"width": 144, "heads": 4, "feed_forward": 576, "layers": 4}
    raw["teacher"]["architecture"] |= {"subsampling": 2, "subsampling_channels": 0}
    found = parse_params(raw)
    with torch.device("meta"):
        model = ConformerCTC(record_of(found.teacher.architecture, found.frontend, 16000, found.text.vocab_size))
    assert abs(parameters_of(found, "teacher") / parameter_count(model) - 1) < 0.05


def test_mixed_precision_and_wide_products_are_faster(begun):
    family, folder = begun
    far = family(folder.with_name("nowhere"))
    quick = family(folder.with_name("nowhere"), training={"precision": "bfloat16"})
    assert expected_seconds(quick, OWN, "train_teacher") < expected_seconds(far, OWN, "train_teacher")
    narrow, wide = (estimate._forward(found, "teacher") / parameters_of(found, "teacher") for found in (family(), far))
    assert wide < narrow


def test_what_a_stage_took_is_remembered_until_its_parameters_change(tmp_path):
    path = tmp_path / "durations.json"
    Past(params(), path).note("train_teacher", 12.34)
    assert Past(params(), path).seconds("train_teacher") == 12.3
    assert Past(params(teacher={"training": {"epochs": 3}}), path).seconds("train_teacher") is None
    for garbage in ("{garbage", "[]", "5", "null", path.read_text().replace("12.3", "NaN"), '{"a": NaN}'):
        path.write_text(garbage)
        past = Past(params(), path)
        assert past.seconds("train_teacher") is None
        past.note("train_teacher", 7.0)
        assert Past(params(), path).seconds("train_teacher") == 7.0
    path.unlink()
    path.mkdir()
    Past(params(), path).note("train_teacher", 7.0)


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """What gives parameters of a family whose teacher is a checkpoint with a new head; the checkpoint's folder."""
    monkeypatch.chdir(tmp_path)
    folder = write_checkpoint(tmp_path / "checkpoint", hidden_size=32, intermediate_size=128, num_hidden_layers=4)
    opened.cache_clear()

    def family(path=folder, **teacher):
        raw = json.loads(json.dumps(minute_params()))
        raw["data"]["sample_rate"], raw["frontend"]["high_hz"] = RATE, 3800.0
        raw["teacher"] = {"pretrained": {"path": str(path)}, "head": "ctc"} | teacher
        copy = {"from": "teacher", "training": {"epochs": 2}, "losses": {"ctc": 1.0}}
        raw["distill"] = {
            "student": copy | {"architecture": TINY},
            "half": copy | {"architecture": {"kind": "parent", "layers": 2}},
            "thin": copy | {"architecture": {"kind": "parent", "feed_forward": 32}},
            "thinner": copy | {"from": "half", "architecture": {"kind": "parent", "width": 16}},
        }
        return parse_params(raw)

    return family, folder


def test_a_checkpoint_is_as_large_as_its_weights(begun):
    family, folder = begun
    found = family()
    own = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert 1 <= parameters_of(found, "teacher") / own < 1.2  # with the names of the tensors
    halves = write_checkpoint(folder.with_name("halves"), hidden_size=32, dtype="float16", torch_dtype="float16")
    other = sum(tensor.numel() for tensor in load_file(halves / "model.safetensors").values())
    assert 1 <= parameters_of(family(halves), "teacher") / other < 1.4


def test_a_copy_is_smaller_by_what_it_leaves_out(begun):
    found = begun[0]()
    teacher = parameters_of(found, "teacher")
    assert parameters_of(found, "half") == teacher / 2 and parameters_of(found, "thinner") == teacher / 4
    assert teacher / 2 < parameters_of(found, "thin") < teacher
    assert parameters_of(found, "student") < teacher / 2  # a Conformer of its own


def test_every_stage_of_a_family_with_a_checkpoint_has_an_estimate_wherever_that_is(begun):
    family, folder = begun
    for found in (family(), family(folder.with_name("nowhere")), family(folder, training={"epochs": 20})):
        for name, (stage, _) in found.members.items():
            address = stage if stage == "train_teacher" else f"{stage}@{name}"
            assert 0 < expected_seconds(found, OWN, address) < 1e6
        assert 0 < expected_seconds(found, OWN, "evaluate") < 1e6 and expected_seconds(found, OWN, "prepare") > 0
    far = family(folder.with_name("nowhere"))
    assert parameters_of(far, "teacher") == 95e6 and parameters_of(far, "half") == 95e6 / 2
    assert expected_seconds(far, OWN, "train_teacher") > 3 * expected_seconds(family(), OWN, "train_teacher")


def test_a_checkpoint_that_is_not_trained_takes_as_long_as_it_is_written(begun):
    raw = json.loads(json.dumps(minute_params()))
    raw["data"]["sample_rate"], raw["frontend"]["high_hz"], raw["text"]["units"] = RATE, 3800.0, "checkpoint"
    raw["teacher"] = {"pretrained": {"path": str(begun[1])}}
    trained = raw | {"teacher": raw["teacher"] | {"fine_tune": True, "training": {"epochs": 50}}}
    once, again = (expected_seconds(parse_params(own), OWN, "train_teacher") for own in (raw, trained))
    assert once < 4.5 < 8.0 < again


def test_rounds_of_pruning_are_epochs_of_their_own_beside_those_of_the_member(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def seconds(epochs: int, rounds: int, round_epochs: int) -> float:
        raw = json.loads(json.dumps(minute_params()))
        slim = raw["prune"]["student-slim"]
        slim["structured"] = {"parameters": 0.5, "batches": 1, "rounds": rounds, "round_epochs": round_epochs}
        slim["training"] = {"epochs": epochs}
        return expected_seconds(parse_params(raw), OWN, "prune@student-slim") - estimate.START

    one = seconds(1, 1, 1)
    assert seconds(24, 1, 1) == pytest.approx(24 * one)
    assert seconds(20, 3, 2) == pytest.approx(24 * one)


def test_labels_of_some_utterances_take_their_share_of_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def seconds(utterances: int | None) -> float:
        raw = json.loads(json.dumps(minute_params()))
        raw["synthesis"] |= {"train_utterances": 4000, "dev_utterances": 1, "unlabelled_utterances": 0}
        raw["label"]["heard"]["utterances"] = utterances
        return expected_seconds(parse_params(raw), OWN, "label@heard") - estimate.START

    whole = seconds(None)
    assert seconds(1000) == pytest.approx(whole / 4, rel=0.01) and seconds(9000) == whole
