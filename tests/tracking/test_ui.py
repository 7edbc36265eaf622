"""`make ui`: a port that is taken, and an address that is printed only while a server answers there."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from diminuendo.core.errors import UserError
from diminuendo.provenance.store import Store
from diminuendo.registry.store import no_store
from diminuendo.tracking import lookup, ui
from diminuendo.tracking.store import _client, store_trouble


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


PASSWORD = "p@ss-of-ann"


def test_a_server_is_named_without_the_password_in_its_address(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://ann:{PASSWORD}@mlflow.example.org?token={PASSWORD}")
    monkeypatch.setattr(sys, "argv", ["ui"])
    ui.main()
    assert capsys.readouterr().out.rstrip().endswith(": https://…@mlflow.example.org?token=…")


def test_the_password_of_a_database_is_in_no_list_of_processes(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://ann:{PASSWORD}@db/mlflow")
    monkeypatch.setattr(sys, "argv", ["ui", "--port", "65000"])
    monkeypatch.setattr(ui, "check_port", lambda port: None)
    monkeypatch.setattr(ui, "_experiment", lambda uri: None)
    monkeypatch.setattr(ui, "_tell_when_it_answers", lambda port, words: None)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    started = []
    monkeypatch.setattr(os, "execv", lambda path, command: started.append(command))
    ui.main()
    assert PASSWORD not in " ".join(started[0])
    assert os.environ["MLFLOW_BACKEND_STORE_URI"].startswith(f"postgresql://ann:{PASSWORD}")


def test_links_in_a_report_say_nothing_of_who_made_it(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://ann:{PASSWORD}@mlflow.example.org/")
    monkeypatch.setattr(lookup, "_store", lambda: (None, "3"))
    assert lookup.link("abc") == "https://mlflow.example.org/#/experiments/3/runs/abc"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://ann:{PASSWORD}@db/mlflow")
    assert lookup.link("abc") is None


def test_a_database_without_its_driver_is_a_note_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"nosuchdriver+postgresql://ann:{PASSWORD}@db/mlflow")
    monkeypatch.setattr("diminuendo.provenance.store.open_existing", _no_driver)
    found = Store([])
    assert not found.is_there and "psycopg2" in str(found.notes) and PASSWORD not in str(found.notes)


def test_what_mlflow_logs_has_no_password_either(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{PASSWORD}@127.0.0.1:9")
    _client(f"http://ann:{PASSWORD}@127.0.0.1:9")
    handler = logging.getLogger("mlflow").handlers[0]
    said = ("no answer of %s", (f"http://a:{PASSWORD}@h",))
    record = logging.LogRecord("mlflow.store", logging.WARNING, "x.py", 1, *said, None)
    assert handler.filter(record) and PASSWORD not in record.getMessage()


def _no_driver():
    raise ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")


def test_a_store_that_is_not_there_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///missing.db?password={PASSWORD}")
    found = Store([])
    assert not found.is_there and PASSWORD not in str(found.notes) and "missing.db" in str(found.notes)
    assert PASSWORD not in str(no_store())
    assert PASSWORD not in store_trouble(ValueError(f"'https://ann:{PASSWORD}@host' is no URI"))
