"""The steps of the README are taken from it, and a server counts as done when it answers."""

from __future__ import annotations

import threading

import pytest

from benchmarks.first_hour import IN_SENTENCES, ask, finish, serve, steps
from diminuendo.bundled import MODEL
from diminuendo.demo.requests import Requests
from diminuendo.demo.server import Server
from tests.factories.project import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVER = "python3 -u -c 'import http.server as s; h = s.HTTPServer((\"127.0.0.1\", 0), s.SimpleHTTPRequestHandler); {}'"


def test_the_steps_of_the_readme_in_its_order():
    found = list(steps(README))
    assert found[:5] == [
        "python3 -m venv .venv && . .venv/bin/activate",
        "pip install .",
        "diminuendo demo",
        "make repro",
        "make test",
    ]
    assert {command for commands in IN_SENTENCES.values() for command in commands} <= set(found)
    assert found.index("diminuendo trace MODEL") < found.index("diminuendo reproduce MODEL")


def test_headings_that_have_steps_in_sentences_are_headings_of_the_readme():
    assert all(f"\n## {heading}\n" in README for heading in IN_SENTENCES)


@pytest.mark.parametrize(
    ("then", "status"),
    [('print(f"http://127.0.0.1:{h.server_port}"); h.serve_forever()', 0), ('print("no address")', 1)],
)
def test_a_server_is_done_when_it_answers(tmp_path, then, status):
    assert serve(SERVER.format(then), tmp_path, tmp_path / "log") == status


def test_a_command_that_fails_is_told(tmp_path):
    assert finish("exit 3", tmp_path, tmp_path / "log") == 3
    assert finish("echo done", tmp_path, tmp_path / "log") == 0
    assert (tmp_path / "log").read_text() == "done\n"


def test_the_demo_is_asked_for_a_transcript():
    server = Server(Requests([MODEL]), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        assert ask("diminuendo demo", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
