"""Model files of strangers: whatever their bytes, a command ends with one sentence, and soon."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

from benchmarks.hostile_mutations import mutation
from diminuendo.artifact.stated import stated_in
from diminuendo.artifact.wire import metadata_in
from diminuendo.bundled import MODEL
from diminuendo.core.errors import UserError
from diminuendo.gate.inputs import open_model
from diminuendo.provenance import terminal
from diminuendo.provenance.branches import branches_of
from diminuendo.provenance.descent import read_model
from diminuendo.provenance.picture import mermaid
from diminuendo.provenance.trace import Trace
from diminuendo.registry import card
from tests.factories.project import ROOT

COUNT = 8
READ = 150


def test_commands_on_broken_files_end_with_a_sentence(tmp_path):
    """A few of the files that `python -m benchmarks.hostile_models` makes a thousand of."""
    command = [sys.executable, "-m", "benchmarks.hostile_models", "--count", str(COUNT), "--seed", "7"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = ["--commands", "transcribe,verify", "--kept", str(tmp_path)]
    done = subprocess.run([*command, *options], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNT} files, 2 commands each: 0 findings" in done.stdout


def test_whatever_a_file_says_of_itself_is_read_or_refused(tmp_path):
    path, refused, slowest = tmp_path / "file.onnx", 0, 0.0
    for number in range(READ):
        what = mutation(MODEL, random.Random(f"read/{number}"))(path)
        begin = time.monotonic()
        for read in (_descent, _card, _stated):
            try:
                shown = read(path)
                assert "\x1b" not in shown, what
            except UserError as error:
                refused += 1
                assert str(path) in str(error) and "\x1b" not in str(error), what
        slowest = max(slowest, time.monotonic() - begin)
    assert refused > READ / 2 and slowest < 10


def test_a_card_says_what_little_a_record_says_of_its_corpus():
    assert "Source: not stated" in card._corpus({"corpus": "0" * 64, "corpora": {"0" * 64: {"parameters": {}}}})


def _descent(path) -> str:
    model = read_model(path)
    return terminal.draw(branches_of(Trace(model, {}, {}, frozenset(), ()))) + mermaid(model)


def _card(path) -> str:
    file = open_model(path)
    return "\n".join([file.name, *file.teachers, *card._chain(file), card._corpus(file.lineage)])


def _stated(path) -> str:
    try:
        return str(stated_in(metadata_in(path.read_bytes())))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
