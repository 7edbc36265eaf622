"""A training process that gets SIGKILL, and the run that goes on from what it left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from diminuendo.training.checkpoint import CHECKPOINT
from tests.factories.models import ToneCorpus, digest_of_weights, tiny_model, tiny_training

TRAIN = """
import os, signal, sys
from pathlib import Path
from diminuendo.losses.config import LossConfig
from diminuendo.training.step import Hooks
from diminuendo.training.trainer import train
from tests.factories.models import ToneCorpus, tiny_model, tiny_training

steps = []
def die(model, progress):
    steps.append(progress)
    if len(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

train(tiny_model(dropout=0.1), ToneCorpus(), tiny_training(epochs=3), LossConfig(), seed=7, work=Path(sys.argv[1]),
      hooks=Hooks(after_step=die))
"""


def finish(work):
    from diminuendo.losses.config import LossConfig
    from diminuendo.training.trainer import train

    model = tiny_model(dropout=0.1)
    train(model, ToneCorpus(), tiny_training(epochs=3), LossConfig(), seed=7, work=work)
    return digest_of_weights(model)


def test_sigkill_costs_nothing_but_time(tmp_path):
    work = tmp_path / "work"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAIN, str(work), "6"]
    killed = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=240)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (work / CHECKPOINT).exists()
    (work / f".{CHECKPOINT}.0123abcd.tmp").write_bytes(b"half of a checkpoint")
    assert finish(work) == finish(tmp_path / "whole")
