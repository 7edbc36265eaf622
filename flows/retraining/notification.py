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

from diminuendo.core.plain_text import one_line, without_secrets
from diminuendo.parameters.webhook import WEBHOOK, webhook_problem

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
    """Send a message to every block and to the webhook; nothing that goes wrong with it is raised.

    Args:
        facts: sent to the webhook as JSON; ``text`` is subject and body, so that chat services show it as it is.
        blocks: Prefect notification blocks as ``type/name``, such as ``slack-webhook/speech-team``.
        warn: receives a line for each that did not take it.
        pause: seconds before the second attempt; twice as many before the third.
    """
    targets: list[tuple[str, Callable[[], None]]] = [(name, _block(name, subject, body)) for name in blocks]
    url = os.environ.get(WEBHOOK)
    if (problem := webhook_problem()) is not None:
        warn(f"no notification to the webhook: {problem}")
    elif url:
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
                told = without_secrets(str(error).replace(url or "…", "…"))
                warn(one_line(f"no notification to {name}: {type(error).__name__}: {told[:300]}"))
                break


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the message, or by another protocol, and count as delivered."""

    def redirect_request(self, request, file, code, message, headers, address):
        return None  # and so the answer is an error


_OPENER = urllib.request.build_opener(_NoRedirect)


def _is_refusal(error: Exception) -> bool:
    """Whether no second attempt can help: there is no such block, or the server does not want the message."""
    is_client_error = isinstance(error, urllib.error.HTTPError) and 300 <= error.code < 500 and error.code != 429
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
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS):
            pass

    return send
