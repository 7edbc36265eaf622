"""A server of the demo on a free port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from diminuendo.demo.requests import Requests
from diminuendo.demo.server import Server


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts a server with these models; it ends with the test."""
    with ExitStack() as stack:

        def start(*models: Path) -> Server:
            server = stack.enter_context(Server(Requests(list(models)), 0))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start
