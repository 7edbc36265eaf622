import os
import subprocess
import sys

import pytest

from tests.factories.project import ROOT, environment


@pytest.fixture(scope="session")
def prefect(tmp_path_factory):
    """Environment of one Prefect server for all tests: it takes longer to start than most flows run."""
    home = tmp_path_factory.mktemp("prefect")
    code = (
        "import os, time; from flows import with_server as w; child, log = w._start(); w._wait(child, log)\n"
        "print(os.environ['PREFECT_API_URL'], flush=True); child.wait()"
    )
    env = {key: value for key, value in environment(PREFECT_HOME=str(home)).items() if key != "PREFECT_API_URL"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    assert url, (home / "server.log").read_text()
    yield {"PREFECT_HOME": str(home), "PREFECT_API_URL": url, "DIMINUENDO_TRACKING": "off"}
    process.kill()  # the server notices
    process.wait()
    process.stdout.close()
    assert "PREFECT_API_URL" not in os.environ
