"""What integer convolutions are worth is told of any float32 file."""

import sys

from benchmarks import integer_convolutions
from diminuendo.export.write import export_model
from tests.compression.test_every_family import MODELS, TOKENS


def test_three_files_are_compared(tmp_path, monkeypatch, capsys):
    path = tmp_path / "model.onnx"
    export_model(path, MODELS["whisper-encoder"](), name="teacher", tokens=list(TOKENS), lineage={})
    monkeypatch.setattr(sys, "argv", ["integer_convolutions", str(path), "--turns", "2", "--seconds", "1"])
    integer_convolutions.main()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["float32", "float32"], ["integers", "float32"], ["integers", "integers"]]
    assert int(rows[0][2].replace(",", "")) == path.stat().st_size
    assert (rows[0][3], rows[0][5]) == ("1.00", "—")
    assert rows[1][2] != rows[2][2]  # so the two are not one file
