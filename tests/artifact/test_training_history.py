import csv

from diminuendo.artifact.history import read_history, write_history

ROWS = [{"step": 10, "epoch": 1.0, "loss": 1 / 3}, {"step": 12, "dev_wer": 0.5}, {"step": 20, "loss": 2e-7, "kl": 3.0}]


def test_history_is_a_table_with_a_column_per_quantity(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, [{"step": 10, "loss": 1 / 3}, {"step": 12, "dev_wer": 0.5}])
    assert list(csv.reader(path.open())) == [["step", "loss", "dev_wer"], ["10", "0.333333", ""], ["12", "", "0.5"]]


def test_a_history_that_was_read_is_written_as_it_was(tmp_path):
    write_history(tmp_path / "once.csv", ROWS)
    found = read_history(tmp_path / "once.csv")
    assert found[1] == {"step": 12, "dev_wer": 0.5}
    write_history(tmp_path / "again.csv", found)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "once.csv").read_bytes()
