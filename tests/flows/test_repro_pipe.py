"""`make repro` into a pipe that nobody reads to its end."""

import subprocess
import sys

import pytest

from tests.factories.project import ROOT, environment

CODE = """
from flows import repro
def talk(*_, **__):
    while True:
        repro.say("x" * 80)
repro.plan_run = repro._say_plan = talk
repro.check_repository = lambda: None
repro.main()
"""


@pytest.mark.parametrize(("options", "status", "words"), [(["--plan"], 0, ""), ([], 1, "run it again and it goes on")])
def test_a_reader_that_has_seen_enough_is_no_traceback(tmp_path, options, status, words):
    code = CODE if options else CODE.replace("repro.main()", "repro.one_pipeline = talk; repro.main()")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT), DIMINUENDO_TRACKING="off"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == status
    assert words in said and "Traceback" not in said and "BrokenPipe" not in said and (words or not said)
