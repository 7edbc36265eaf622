"""A real browser without a screen, driven by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NEEDED = "DIMINUENDO_NEEDS_BROWSER"  # where it is set, a missing browser is a failure
PATIENCE = 60.0  # seconds


class Browser:
    """One page."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._number = connection, 0
        self.problems: list[str] = []  # exceptions, console errors and refused loads of the page
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; raises ``RuntimeError`` with the browser's own words if it fails."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=PATIENCE))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            if message.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(message["params"]["exceptionDetails"]))
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.problems.append(message["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited; with a person's permissions, as after a click."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """The value of an expression once it is true."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if found := self.evaluate(expression):
                return found
            time.sleep(0.05)
        raise AssertionError(f"not within {PATIENCE:g} s: {expression}")

    def press(self, key: str, code: int) -> None:
        """A key of the keyboard, such as Enter (13)."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose_file(self, selector: str, path: Path) -> None:
        """Give a file to an input of files."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drop_file(self, path: Path, x: int = 300, y: int = 300) -> None:
        """Drag a file onto the page and let it fall."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def resize(self, width: int, height: int, scale: float = 1.0, phone: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))


def chromium() -> str:
    """The path of a browser; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get(NEEDED):
        pytest.fail(f"no browser was found, and {NEEDED} is set: expected one of {', '.join(NAMES)}")
    if found is None:
        pytest.skip(f"no browser was found: none of {', '.join(NAMES)}")
    return found


@contextmanager
def browser(folder: Path, microphone: Path | None = None) -> Iterator[Browser]:
    """A browser with an empty profile in ``folder``; its microphone, always allowed, plays a wav file once."""
    command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={folder}", "--no-first-run", "--mute-audio", "--disable-dev-shm-usage"]
    command += ["--autoplay-policy=no-user-gesture-required", "--disable-background-networking", "--hide-scrollbars"]
    if microphone:
        command += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        command += [f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_page_of(folder, process), max_size=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        process.wait()


def _page_of(folder: Path, process: subprocess.Popen) -> str:
    """The address of the first page, once the browser listens."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, f"the browser ended with status {process.returncode}"
        try:
            port = int((folder / "DevToolsActivePort").read_text().split()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            return pages[0]["webSocketDebuggerUrl"]
        except (OSError, ValueError, IndexError):
            time.sleep(0.05)
    raise AssertionError(f"the browser did not listen within {PATIENCE:g} s")
