"""`make ui`: a port that is taken, and an address that is printed only while a server answers there."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time

import pytest

from diminuendo.core.errors import UserError
from diminuendo.tracking import ui


@pytest.fixture
def listening():
    with socket.socket() as server:
        server.bind((ui.HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_named_with_one_that_is_free(listening):
    with pytest.raises(UserError, match=rf"^port {listening} is in use; run: make ui PORT=\d+$") as error:
        ui.check_port(listening)
    ui.check_port(int(re.search(r"PORT=(\d+)", str(error.value))[1]))


@pytest.mark.parametrize("port", [0, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(UserError, match="expected a number from 1 to 65535"):
        ui.check_port(port)


def test_the_command_ends_with_one_sentence(listening, tmp_path):
    command = [sys.executable, "-m", "diminuendo.tracking.ui", "--port", str(listening)]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = os.getcwd()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: port ") and done.stderr.count("\n") == 1


def test_the_address_is_printed_once_the_server_answers(capfd):
    with socket.socket() as server:
        server.bind((ui.HOST, 0))
        ui._tell_when_it_answers(server.getsockname()[1], "MLflow on …")
        time.sleep(0.5)
        assert capfd.readouterr().out == ""
        server.listen()
        deadline, told = time.monotonic() + 10, ""
        while not told and time.monotonic() < deadline:
            time.sleep(0.05)
            told = capfd.readouterr().out
        assert told == "MLflow on …\n"
