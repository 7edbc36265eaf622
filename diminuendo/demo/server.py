"""The server of the page: loopback only, for pages of its own only, with limits on what it is sent.

``localhost`` in a browser is not private: any page that is open there can send requests to it, and by rebinding a name
of its own to 127.0.0.1 also read the answers. So every request must name a loopback address as its host, and what a
page sends must come from this one (``Host``, ``Origin`` and ``Sec-Fetch-Site``).
"""

from __future__ import annotations

import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo
from diminuendo.demo.requests import Answer, Refused, Requests

ADDRESS = "127.0.0.1"
HOSTS = {"127.0.0.1", "localhost"}
LARGEST_UPLOAD = 25_000_000  # bytes of a recording
LARGEST_PIECE = 2_000_000  # bytes of microphone
PATIENCE = 30.0  # seconds without a byte, after which a connection is closed
PAGE = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # The page loads nothing from elsewhere, and no other page may hold it in a frame.
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves the page on 127.0.0.1.

    Args:
        requests: what answers the requests of the page.
        port: 0 means any free one, see ``url``.

    Raises:
        UserError: the port is taken or not allowed.
    """

    daemon_threads = True  # an open connection must not keep Ctrl-C waiting

    def __init__(self, requests: Requests, port: int) -> None:
        self.requests = requests
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise UserError(f"port {port} cannot be used ({error.strerror}); choose another one with --port") from None

    def server_bind(self) -> None:
        # HTTPServer also looks its own name up, which takes seconds where the name service is slow.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address) -> None:
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            echo(f"error: a request failed ({error!r})", err=True)

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "diminuendo", ""
    timeout = PATIENCE
    server: Server

    def do_GET(self) -> None:
        self._answer(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *_: object) -> None:
        pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests that the base class cannot read."""
        self.close_connection = True
        self._send(Refused(code, message or HTTPStatus(code).phrase).answer())

    def _answer(self, respond) -> None:
        try:
            self._check_sender()
            answer = respond(urlsplit(self.path).path)
        except Refused as refused:
            self.close_connection = True  # what it has sent is not read
            answer = refused.answer()
        except UserError as error:
            answer = Refused(HTTPStatus.BAD_REQUEST, str(error)).answer()
        except ConnectionError:
            self.close_connection = True
            return
        except Exception as error:
            echo(f"error: {self.command} {self.path} failed ({error!r})", err=True)
            self.close_connection = True
            problem = "this request failed; the terminal in which the demo runs says why"
            answer = Refused(HTTPStatus.INTERNAL_SERVER_ERROR, problem).answer()
        self._send(answer)

    def _check_sender(self) -> None:
        host = self.headers.get("Host", "")
        name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() not in HOSTS:
            raise Refused(HTTPStatus.FORBIDDEN, f"host {host!r}: open this page as {self.server.url}")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, f"origin {origin!r}: only the page itself may send requests")
        if self.command == "POST" and self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise Refused(HTTPStatus.FORBIDDEN, "only the page itself may send requests")

    def _get(self, path: str) -> Answer:
        if path == "/api/models":
            return self.server.requests.models()
        if path.startswith("/api/sample/"):
            return self.server.requests.sound(path.removeprefix("/api/sample/"))
        name = path.lstrip("/") or "index.html"
        file = PAGE / name
        # A plain name that is there: no way leads out of the folder.
        if "/" in name or "\\" in name or file.suffix not in TYPES or not file.is_file():
            raise Refused(HTTPStatus.NOT_FOUND, f"{path}: there is no such page")
        return Answer(file.read_bytes(), TYPES[file.suffix])

    def _post(self, path: str) -> Answer:
        requests, query = self.server.requests, urlsplit(self.path).query
        match path.strip("/").split("/"):
            case ["api", "transcribe"]:
                return requests.transcribe(self._body(LARGEST_UPLOAD), self.headers.get("X-File-Name", ""))
            case ["api", "sample", name]:
                self._body(0)
                return requests.sample(name)
            case ["api", "microphone"]:
                self._body(0)
                return requests.open_microphone(query)
            case ["api", "microphone", key]:
                return requests.microphone(key, self._body(LARGEST_PIECE))
            case ["api", "microphone", key, "finish"]:
                self._body(0)
                return requests.close_microphone(key)
        raise Refused(HTTPStatus.NOT_FOUND, f"{path}: there is nothing to send there")

    def _body(self, limit: int) -> bytes:
        stated = self.headers.get("Content-Length")
        if stated is None or not stated.isdecimal():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the request does not say how long it is")
        length = int(stated)
        if length > limit:
            self._skip(min(length, 4 * LARGEST_UPLOAD))
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{length / 1e6:.1f} MB, and {limit / 1e6:g} MB is the most that this page takes; "
                "`diminuendo transcribe` has no limit",
            )
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("the connection ended within a request")
        return body

    def _skip(self, length: int) -> None:
        """Read what is not wanted: a browser shows the answer only once all is sent."""
        while length > 0 and (piece := self.rfile.read(min(length, 1 << 16))):
            length -= len(piece)

    def _send(self, answer: Answer) -> None:
        try:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in HEADERS.items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
