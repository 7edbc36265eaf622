"""Standard streams that are closed, full or not UTF-8, and what is told on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from diminuendo.demo.samples import SAMPLES
from tests.factories.audio import ROOT

SAID = "three one four one five nine"
COMMAND = f"{sys.executable} -m diminuendo"
SECRET = "s3cr3tPASS"


def typed(folder, line: str, **variables: str) -> tuple[int, str, str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, env=environment)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


@pytest.fixture
def here(tmp_path):
    for name in ("你.wav", "two.wav"):
        shutil.copy(SAMPLES[0].path, tmp_path / name)
    return tmp_path


def test_output_that_is_not_utf_8_gets_escapes_and_all_files_are_heard(here):
    status, out, _ = typed(here, f"{COMMAND} transcribe 你.wav two.wav", PYTHONIOENCODING="latin-1")
    assert (status, out) == (0, f"\\u4f60.wav\t{SAID}\ntwo.wav\t{SAID}\n")
    status, out, err = typed(here, f"{COMMAND} check 你.yaml", PYTHONIOENCODING="ascii")
    assert (status, out) == (1, "") and err.startswith("error: \\u4f60.yaml: cannot be read")


def test_errors_do_not_come_to_standard_output_where_standard_error_is_closed(here):
    assert typed(here, f"{COMMAND} transcribe none.wav two.wav two.wav 2>&-") == (1, f"two.wav\t{SAID}\n" * 2, "")


def test_a_command_works_where_standard_output_is_closed(here):
    status, out, err = typed(here, f"{COMMAND} transcribe none.wav two.wav >&-")
    assert (status, out) == (1, "") and "error: none.wav: there is no such file" in err and "Traceback" not in err


def test_no_file_gets_the_number_of_a_closed_stream(here):
    code = (
        "import os; from diminuendo.cli.streams import make_ready; make_ready(); "
        "os._exit(os.open('two.wav', os.O_RDONLY))"
    )
    assert typed(here, f'{sys.executable} -c "{code}" <&- >&- 2>&-')[0] > 2


@pytest.mark.parametrize("command", ["registry", "rollback", "fetch home@champion x", "retrain", "leaderboard"])
def test_a_working_directory_that_is_gone_is_one_sentence(here, command):
    status, out, err = typed(here, f"mkdir gone && cd gone && rmdir ../gone && {COMMAND} {command}")
    assert status != 0 and not out and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("address", [f"http://ann:{SECRET}＠host", f"http://ann:{SECRET}@[::1", "http://ann:pwd@h:x"])
def test_an_address_of_the_store_that_cannot_be_read_is_told_without_its_password(here, address):
    shutil.copy(ROOT / "params.yaml", here)
    for command in ("registry", "rollback", "fetch home@champion x"):
        status, out, err = typed(here, f"{COMMAND} {command}", MLFLOW_TRACKING_URI=address)
        assert (status, out) == (2, "") and err.startswith("error: MLFLOW_TRACKING_URI: expected the address")
        assert err.count("\n") == 1 and SECRET not in err and "pwd" not in err


@pytest.mark.parametrize("at", ["@", "＠"])
def test_a_traceback_holds_no_password(here, at):
    code = (
        f"from diminuendo.cli.streams import make_ready; make_ready(); raise ValueError('http://ann:{SECRET}{at}h/x')"
    )
    status, _, err = typed(here, f'{sys.executable} -c "{code}"')
    assert status == 1 and "Traceback" in err and "ValueError: http://" in err
    assert SECRET not in err


def test_use_tells_what_it_wrote_without_passwords(run, tmp_path):
    shutil.copy(tmp_path / "params.yaml", tmp_path / "other.yaml")
    (tmp_path / "params.yaml").unlink()
    status, out, _ = run("use", "other.yaml", "--set", f"data.path=http://ann:{SECRET}@h/x")
    assert status == 0 and "data.path=http://…@h/x" in out and SECRET not in out


def test_standard_output_that_is_full_is_named(here):
    status, _, err = typed(here, f"{COMMAND} transcribe two.wav two.wav > /dev/full")
    assert status == 1 and err.count("\n") == 2 and "error: standard output: cannot be written (No space left" in err
    assert typed(here, f"{COMMAND} transcribe none.wav two.wav 2> /dev/full") == (1, f"two.wav\t{SAID}\n", "")
