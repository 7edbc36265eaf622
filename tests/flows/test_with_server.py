"""Which server a flow is run with, and whose log is written."""

import sys

import pytest

from diminuendo.core.locks import only_one
from flows import server, with_server


def test_the_server_of_make_serve_is_used_where_it_runs(prefect, tmp_path, monkeypatch):
    url = prefect["PREFECT_API_URL"]
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert not with_server._use_served()
    (tmp_path / "serve.lock").write_text(f"Prefect on {url.removesuffix('/api')}, process 1")
    assert not with_server._use_served()  # of a server that is gone
    with only_one(tmp_path / "serve.lock", f"Prefect on {url.removesuffix('/api')}, process 1"):
        assert with_server._use_served()
    assert with_server.os.environ["PREFECT_API_URL"] == url


def test_a_run_that_fails_with_that_server_says_so(monkeypatch, capsys):
    """And one that fails beside a server that lives does not."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    for healthy in (False, True):
        monkeypatch.setattr(server, "is_healthy", lambda _, healthy=healthy: healthy)
        with pytest.raises(SystemExit), with_server._told_if_it_ends():
            sys.exit(70)
        assert ("make serve was ended" in capsys.readouterr().err) != healthy


def test_a_server_of_ones_own_empties_no_log(tmp_path, monkeypatch):
    """Neither that of `make serve` nor that of another flow's server."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(server.subprocess, "Popen", lambda *_, **options: options["stdout"].write("second\n"))
    for name in ("server.log", with_server.LOG):
        (tmp_path / name).write_text("first\n")
    monkeypatch.setenv("PREFECT_API_URL", "as it was")  # put back at the end
    log = server.start(tmp_path / with_server.LOG).log
    assert log.read_text() == "first\nsecond\n"
    assert (tmp_path / "server.log").read_text() == "first\n"
