"""Notifies people how a run ended. A failed notification is logged: it must not fail the run."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

WEBHOOK = "DIMINUENDO_WEBHOOK"  # address that receives a POST of JSON
ATTEMPTS = 3
TIMEOUT_SECONDS = 10.0


def notify(
    subject: str,
    body: str,
    facts: dict[str, Any],
    blocks: Sequence[str],
    warn: Callable[[str], None],
    pause: float = 2.0,
) -> None:
    """Send a message to every block and to the webhook.

    Args:
        facts: sent to the webhook as JSON; ``text`` is subject and body, so that chat services show it as it is.
        blocks: Prefect notification blocks as ``type/name``, such as ``slack-webhook/speech-team``.
        warn: receives a line for each that did not take it.
        pause: seconds before the second attempt; twice as many before the third.
    """
    targets: list[tuple[str, Callable[[], None]]] = [(name, _block(name, subject, body)) for name in blocks]
    if url := os.environ.get(WEBHOOK):
        # The address is a secret: only its host is shown.
        targets.append((f"webhook at {urlsplit(url).hostname}", _webhook(url, subject, body, facts)))
    for name, send in targets:
        for attempt in range(ATTEMPTS):
            try:
                send()
                break
            except Exception as error:
                if attempt + 1 < ATTEMPTS and not _is_refusal(error):
                    time.sleep(pause * 2**attempt)
                    continue
                warn(f"no notification to {name}: {type(error).__name__}: {str(error).replace(url or '…', '…')[:300]}")
                break


def _is_refusal(error: Exception) -> bool:
    """Whether no second attempt can help: there is no such block, or the server does not want the message."""
    is_client_error = isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500 and error.code != 429
    return is_client_error or isinstance(error, ValueError)


def _block(name: str, subject: str, body: str) -> Callable[[], None]:
    def send() -> None:
        import prefect.blocks.notifications  # noqa: F401  registers its types
        from prefect.blocks.core import Block

        block = Block.load(name)
        if not hasattr(block, "notify"):
            raise ValueError("it is not a notification block")
        block.notify(body, subject)

    return send


def _webhook(url: str, subject: str, body: str, facts: dict[str, Any]) -> Callable[[], None]:
    def send() -> None:
        content = json.dumps({"text": f"{subject}\n{body}", **facts}, ensure_ascii=False).encode()
        request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            pass

    return send
