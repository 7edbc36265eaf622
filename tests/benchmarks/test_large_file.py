"""Every step of the measurement, on a model of some kilobytes."""

import json

import pytest

from benchmarks import large_file
from diminuendo.artifact.external_data import data_of
from diminuendo.artifact.onnx_file import MODEL
from tests.factories.two_files import small_limit  # noqa: F401


def test_each_step_leaves_its_files_and_prints_what_it_took(tmp_path, monkeypatch, capsys, request):
    request.getfixturevalue("small_limit")
    monkeypatch.setattr(large_file, "WIDTH", 32)
    steps = [
        "export",
        "open float32",
        *(f"{do} {scheme}" for scheme in large_file.SCHEMES for do in ("quantize", "open")),
    ]
    for name in steps:
        large_file.step(name, tmp_path, layers=1)
        seconds, peak = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert 0 < seconds < 60 and peak > 10**7
    assert all(data_of(path) for path in (tmp_path / MODEL, *(tmp_path / name / MODEL for name in large_file.SCHEMES)))


def test_a_table_has_a_line_for_each_step(tmp_path, monkeypatch, capsys):
    def measured(name, folder, layers):
        path = folder / (name.split()[-1] if name.split()[-1] in large_file.SCHEMES else "") / MODEL
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(1000 if path.parent == folder else 250))
        return 2.0, 2500

    monkeypatch.setattr(large_file, "measured", measured)
    monkeypatch.setattr("sys.argv", ["large_file", "--folder", str(tmp_path), "--schemes", "int8_weight"])
    large_file.main()
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines[0] == "| export | 1,000 | 2 | 0.00 GB | 2.50 |"
    assert [line.split("|")[1].strip() for line in lines[1:]] == [
        "open float32",
        "quantize int8_weight",
        "open int8_weight",
    ]
    assert not list(tmp_path.iterdir())


def test_a_step_that_fails_ends_the_measurement(tmp_path):
    with pytest.raises(FileNotFoundError):
        large_file.step("quantize int8_weight", tmp_path, layers=1)
