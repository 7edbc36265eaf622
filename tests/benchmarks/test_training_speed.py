"""The trainer beside a plain loop."""

import sys

import pytest

from benchmarks import training_speed


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["training_speed", *arguments])
    training_speed.main()


def test_both_train_models_of_one_size_on_the_same_audio(monkeypatch, capsys):
    run(monkeypatch, "--turns", "2", "--steps", "1", "--warm", "1", "--parts")
    lines = capsys.readouterr().out.splitlines()
    ours, plain = (int(part.split()[-1].replace(",", "")) for part in lines[0].split(", plain"))
    assert ours == plain > 5_000_000
    assert [line.split()[0] for line in lines[2:7]] == ["seconds", "diminuendo", "plain", "times", "times"]
    assert all(float(rate) > 0 for line in lines[3:5] for rate in line.split()[-2:])
    (head,) = (i for i, line in enumerate(lines) if line.startswith("CPU time of a step"))
    parts = {line[:52].strip(): float(line[52:60]) for line in lines[head + 1 :]}
    assert {"backward", "forward: attention", "forward: intermediate CTC", "optimiser", "moving average"} < set(parts)
    assert all(taken > 0 for taken in parts.values())


def test_more_steps_than_there_are_is_one_message(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--turns", "9999")
    assert "error: 79997 steps are wanted, an epoch has" in capsys.readouterr().err
