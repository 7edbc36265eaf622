import json

from diminuendo.family import family_of
from diminuendo.parameters import parse_params
from flows.estimate import Past, expected_seconds, parameters_of
from tests.factories.minute import minute_params

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

    raw = minute_params()
    raw["teacher"]["architecture"] |= {"width": 144, "heads": 4, "feed_forward": 576, "layers": 4}
    raw["teacher"]["architecture"] |= {"subsampling": 2, "subsampling_channels": 0}
    found = parse_params(json.loads(json.dumps(raw)))
    with torch.device("meta"):
        model = ConformerCTC(record_of(found.teacher.architecture, found.frontend, 16000, found.text.vocab_size))
    assert abs(parameters_of(found, "teacher") / parameter_count(model) - 1) < 0.05


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
