"""The table of what distillation is worth, on students of seconds."""

import json
import sys

import pytest
import yaml

from benchmarks import distillation, layer_pairing
from diminuendo.export.write import export_model
from diminuendo.models.store import save_model
from tests.factories.audio import dummy_prepared, manifest_params
from tests.factories.models import tiny_layer, tiny_model

ARCHITECTURE = {
    "layers": 1,
    "width": 8,
    "heads": 0,
    "feed_forward": 8,
    "conv_kernel": 3,
    "subsampling": 4,
    "subsampling_channels": 0,
    "dropout": 0.0,
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    prepared = dummy_prepared(tmp_path / "data" / "prepared")
    student = {
        "from": "teacher",
        "architecture": ARCHITECTURE,
        "training": {"epochs": 1, "dev_every": 1},
        "losses": {"ctc": 1.0, "kl": 1.0, "hidden": 0.5},
    }
    params = manifest_params(tmp_path, distill={"student": student}, prune={}, quantize={}, compress_architecture={})
    raw = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    tokens = json.loads((prepared / "tokens.json").read_text())["tokens"]
    sizes = {"sample_rate": params.data.sample_rate, "frontend": params.frontend, "vocabulary": len(tokens)}
    model = tiny_model((tiny_layer(),), **sizes)
    teacher = tmp_path / "models" / "teacher"
    teacher.mkdir(parents=True)
    save_model(teacher, model, tokens)
    export_model(teacher / "model.onnx", model, name="teacher", tokens=tokens, lineage={})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_trained_once_and_compared_with_the_first(project, monkeypatch, capsys):
    only = ["--only", "random start", "twice the epochs"]
    monkeypatch.setattr(sys, "argv", ["distillation", "student", *only])
    distillation.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["as it is", "random start", "twice the epochs"]
    assert "+0.0 | [+0.0, +0.0]" in lines[2]
    rows = sorted((project / ".work/distillation/student").glob("*/row.json"))
    times = [row.stat().st_mtime_ns for row in rows]
    distillation.main()
    assert capsys.readouterr().out.splitlines() == lines
    assert [row.stat().st_mtime_ns for row in rows] == times and len(rows) == 3


def test_both_ways_to_pair_layers_are_trained_with_the_same_seeds(project, monkeypatch, capsys):
    """The only layer of this student follows the last in both, so that they come to the same."""
    monkeypatch.setattr(sys, "argv", ["layer_pairing", "student", "--seeds", "1", "--epochs", "1"])
    layer_pairing.main()
    lines = capsys.readouterr().out.splitlines()
    assert "as before [0]" in lines[0] and "as it starts [0]" in lines[0]
    seed, before, now = (cell.strip() for cell in lines[2].strip("|").split("|"))
    assert seed == "20260" and before == now and len(before.split(", ")) == 2
    assert lines[3] == "test WER, now less before: +0.00 [+0.00, +0.00]"
    assert layer_pairing.earlier_map(3, 6) == [1, 3, 5] and layer_pairing.earlier_map(2, 4) == [1, 3]


def test_an_unknown_member_is_one_message(project, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["distillation", "nobody"])
    with pytest.raises(SystemExit) as ended:
        distillation.main()
    assert ended.value.code == 2
    assert "error: nobody: no member of section distill in params.yaml; there are: student" in capsys.readouterr().err


def test_a_change_replaces_keys_and_keeps_their_neighbours():
    settings = {"losses": {"ctc": 1.0, "kl": 1.0}, "initialise": "teacher"}
    assert distillation.changed(settings, {"losses": {"kl": 4.0}, "initialise": "random"}) == {
        "losses": {"ctc": 1.0, "kl": 4.0},
        "initialise": "random",
    }
