"""The server of the demo: who may ask, how much may be sent, and that nothing ends in a traceback."""

from __future__ import annotations

import http.client
import io
import json
import socket
from urllib.parse import quote

import numpy as np
import pytest
import soundfile

from diminuendo.bundled import MODEL
from diminuendo.core.errors import UserError
from diminuendo.demo import requests, server
from diminuendo.demo.requests import Requests
from diminuendo.demo.samples import SAMPLES
from diminuendo.demo.server import Server


class Client:
    """Sends single requests."""

    def __init__(self, server: Server) -> None:
        self.port = server.server_port
        self.host = f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict]:
        """Status, body and headers of the answer; ``_`` in a header's name stands for ``-``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Host": self.host, **given})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict]:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict]:
        status, answer, _ = self.ask("POST", path, body, **headers)
        return status, json.loads(answer)


@pytest.fixture
def client(serve) -> Client:
    return Client(serve(MODEL))


def test_the_page_and_its_parts_come_from_here_alone(client):
    status, page, headers = client.get("/")
    assert status == 200 and b"<title>diminuendo" in page and headers["Content-Type"].startswith("text/html")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    for name in ("style.css", "script.js", "microphone.js", "recorder.js", "server.js", "waveform.js", "words.js"):
        status, text, _ = client.get(f"/{name}")
        assert status == 200 and b"://" not in text.replace(b"http://127.0.0.1", b""), name
    assert b"http" not in page


def test_the_sound_of_a_sample(client):
    status, wav, headers = client.get(f"/api/sample/{SAMPLES[0].file}")
    assert status == 200 and headers["Content-Type"] == "audio/wav" and wav[:4] == b"RIFF"
    played, original = soundfile.read(io.BytesIO(wav))[0], soundfile.read(SAMPLES[0].path)[0]
    assert np.array_equal(played, original)


def test_models_and_samples(client):
    status, body, _ = client.get("/api/models")
    told = json.loads(body)
    assert status == 200 and [model["name"] for model in told["models"]] == ["slim-mixed"]
    assert [sample["file"] for sample in told["samples"]] == [sample.file for sample in SAMPLES]


def test_a_recording_and_a_sample_are_transcribed(client):
    status, heard = client.post("/api/transcribe", SAMPLES[0].path.read_bytes())
    assert status == 200
    assert " ".join(word["text"] for word in heard["models"][0]["words"]) == SAMPLES[0].said
    status, sample = client.post(f"/api/sample/{SAMPLES[0].file}")
    assert status == 200 and sample["said"] == SAMPLES[0].said
    assert sample["models"][0]["words"] == heard["models"][0]["words"]


def test_a_microphone(client):
    audio = np.frombuffer(SAMPLES[0].path.read_bytes()[:8000], dtype=np.int8).astype("<f4") / 1000
    _, opened = client.post("/api/microphone?rate=16000")
    status, heard = client.post(f"/api/microphone/{opened['key']}", audio.tobytes())
    assert status == 200 and heard["seconds"] == 0.5 and set(heard["models"][0]) == {"words", "provisional", "work"}
    status, heard = client.post(f"/api/microphone/{opened['key']}/finish")
    assert status == 200 and heard["models"][0]["provisional"] == []
    status, answer = client.post(f"/api/microphone/{opened['key']}", audio.tobytes())
    assert status == 404 and "was closed" in answer["error"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1:1", "["])
def test_a_name_that_was_rebound_to_loopback_is_refused(client, host):
    status, body, _ = client.get("/api/models", Host=host)
    assert status == 403 and b"host" in body


def test_localhost_is_as_good_even_through_a_tunnel(client):
    assert client.get("/", Host="localhost:1234")[0] == 200
    assert client.get("/", Host="LOCALHOST")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://{host}"])
def test_what_another_page_sends_is_refused(client, origin):
    status, answer = client.post("/api/microphone?rate=16000", Origin=origin.format(host=client.host))
    assert status == 403 and "origin" in answer["error"]


def test_the_page_itself_may_send(client):
    headers = {"Origin": f"http://{client.host}", "Sec_Fetch_Site": "same-origin"}
    assert client.post("/api/microphone?rate=16000", **headers)[0] == 200
    assert client.post("/api/microphone?rate=16000", Sec_Fetch_Site="cross-site")[0] == 403


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/api/sample/../server.py", "/x/../server.py"])
def test_no_path_leads_out_of_the_page(client, path):
    assert client.get(path)[0] == 404


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/sample/README.md", "/api/sample/", "/api/", "/samples/pi.flac", "/script", "/%00.css"]
)
def test_what_is_not_there(client, path):
    status, body, _ = client.get(path)
    assert status == 404 and "error" in json.loads(body)


def test_nothing_is_posted_elsewhere(client):
    assert client.post("/api/nothing")[0] == 404
    assert client.post("/api/sample/..%2fpi.flac")[0] == 404
    assert client.ask("PUT", "/api/models", b"x")[0] == 501


def test_a_recording_that_is_too_large_is_refused_with_the_limit(client, monkeypatch):
    monkeypatch.setattr(server, "LARGEST_UPLOAD", 1_000_000)
    status, answer = client.post("/api/transcribe", bytes(1_000_001))
    assert status == 413 and "1 MB is the most" in answer["error"]
    assert client.post("/api/sample/pi.flac", b"x")[0] == 413


def test_a_request_that_does_not_say_its_length_is_refused(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(f"POST /api/transcribe HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode())
        assert b" 411 " in connection.recv(1000)


def test_a_request_that_ends_early_and_one_that_is_none(client, capfd):
    for sent in (
        "POST /api/transcribe HTTP/1.1\r\nHost: {}\r\nContent-Length: 9\r\n\r\nabc",
        "{} what is this\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
            connection.sendall(sent.format(client.host).encode())
            connection.shutdown(socket.SHUT_WR)
            assert b"Traceback" not in connection.recv(1000)
    assert client.get("/")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_no_audio_is_called_by_the_name_that_the_user_gave(client):
    status, answer = client.post("/api/transcribe", b"no audio", X_File_Name=quote("übung/letter.txt"))
    assert status == 400 and answer["error"].startswith("letter.txt: not audio that can be read")
    status, answer = client.post("/api/transcribe", b"", X_File_Name="empty.wav")
    assert status == 400 and answer["error"].startswith("empty.wav: the file is empty")
    assert "/" not in client.post("/api/transcribe", b"no audio")[1]["error"]


@pytest.mark.parametrize("query", ["", "?rate=", "?rate=fast", "?rate=-1", "?rate=10"])
def test_a_microphone_without_a_rate(client, query):
    status, answer = client.post(f"/api/microphone{query}")
    assert status == 400 and "error" in answer


def test_audio_that_is_no_audio(client):
    key = client.post("/api/microphone?rate=16000")[1]["key"]
    assert client.post(f"/api/microphone/{key}", b"123")[0] == 400
    assert client.post(f"/api/microphone/{key}", np.array([np.inf], "<f4").tobytes())[0] == 400
    assert client.post(f"/api/microphone/{key}", b"")[0] == 200


def test_so_many_microphones_and_idle_ones_are_closed(client, monkeypatch):
    for _ in range(requests.MICROPHONES):
        assert client.post("/api/microphone?rate=16000")[0] == 200
    status, answer = client.post("/api/microphone?rate=16000")
    assert status == 429 and "stop one" in answer["error"]
    monkeypatch.setattr(requests, "IDLE_SECONDS", -1.0)
    assert client.post("/api/microphone?rate=16000")[0] == 200


def test_an_error_of_ours_is_one_sentence_on_the_page_and_one_line_in_the_terminal(client, monkeypatch, capfd):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Requests, "transcribe", fail)
    status, answer = client.post("/api/transcribe", b"x")
    assert status == 500 and "terminal" in answer["error"] and "oh" not in answer["error"]
    said = capfd.readouterr().err
    assert said == "error: POST /api/transcribe failed (ZeroDivisionError('oh'))\n"


def test_it_listens_on_loopback_alone_and_a_taken_port_is_one_sentence(serve):
    running = serve(MODEL)
    assert running.server_address[0] == "127.0.0.1"
    with pytest.raises(UserError, match=rf"^port {running.server_port} cannot be used \(.*\); choose another one"):
        Server(running.requests, running.server_port)
