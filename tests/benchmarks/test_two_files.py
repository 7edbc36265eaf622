"""Two files by turns."""

import sys

import pytest

from benchmarks import two_files
from tests.factories.onnx_models import write_model


def test_the_slower_of_two_is_told(tmp_path, monkeypatch, capsys):
    fast = write_model(tmp_path / "fast.onnx")
    slow = write_model(tmp_path / "slow.onnx", width=1500)
    monkeypatch.setattr(sys, "argv", ["two_files", str(fast), str(slow), "--turns", "3", "--seconds", "1"])
    two_files.main()
    header, first, second, ratio = capsys.readouterr().out.splitlines()
    assert header.split() == ["bytes", "quartile", "µs", "median", "µs"]
    assert int(first.split()[1]) == fast.stat().st_size < int(second.split()[1])
    assert float(ratio.split()[3].rstrip(",")) > 1.5


@pytest.mark.parametrize("wrong", [["--turns", "0"], ["--seconds", "nan"]])
def test_what_makes_no_sense_is_one_message(tmp_path, monkeypatch, capsys, wrong):
    model = str(write_model(tmp_path / "model.onnx"))
    monkeypatch.setattr(sys, "argv", ["two_files", model, model, *wrong])
    with pytest.raises(SystemExit):
        two_files.main()
    assert capsys.readouterr().err.startswith(f"error: {wrong[0]}: {wrong[1]}, expected")
