import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.factories.project import ROOT, environment
from tests.factories.shipping import shop, shop_template  # noqa: F401
from tests.factories.signed import keys, repository  # noqa: F401


@pytest.fixture(scope="session")
def prefect(tmp_path_factory):
    """Environment of one Prefect server for all tests: it takes longer to start than most flows run."""
    home = tmp_path_factory.mktemp("prefect")
    code = (
        "import sys; from pathlib import Path; from flows import server\n"
        "one = server.start(Path(sys.argv[1]), short_lived=True); one.wait()\n"
        "print(one.api, flush=True); one.process.wait()"
    )
    env = {key: value for key, value in environment(PREFECT_HOME=str(home)).items() if key != "PREFECT_API_URL"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(home / "server.log")], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    url = process.stdout.readline().strip()
    assert url, (home / "server.log").read_text()
    yield {"PREFECT_HOME": str(home), "PREFECT_API_URL": url, "DIMINUENDO_TRACKING": "off"}
    process.kill()  # the server notices
    process.wait()
    process.stdout.close()
    assert "PREFECT_API_URL" not in os.environ


class Webhook:
    """A server on the loopback that keeps what is posted to it; ``answers`` are the statuses it gives first."""

    def __init__(self):
        self.messages, self.answers = [], []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                status = webhook.answers.pop(0) if webhook.answers else 200
                if status == 200:
                    webhook.messages.append(json.loads(content))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-path"


@pytest.fixture
def webhook():
    one = Webhook()
    thread = threading.Thread(target=one.server.serve_forever, daemon=True)
    thread.start()
    yield one
    one.server.shutdown()
    one.server.server_close()
    thread.join()
