"""The command ``demo``."""

from __future__ import annotations

import os
import sys

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.core.plain_text import echo

PORT = 8090
MOST_MODELS = 4  # as many columns as a page has room for


@click.command()
@click.argument("models", metavar="[MODEL ...]", type=click.Path(), nargs=-1)
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes any free one.")
@click.option("--browser/--no-browser", default=True, help="Open the page, or only say where it is.")
def demo(models: tuple[str, ...], port: int, browser: bool) -> None:
    """Open a page on this machine that transcribes the microphone, files and sample recordings.

    Without MODEL it takes the one that comes with diminuendo. Two models (models/<name>/model.onnx) are shown side by
    side. Only this machine can open the page, and nothing is sent anywhere. Ctrl-C ends it.
    """
    with plain_errors(status=1):
        from pathlib import Path

        from diminuendo.bundled import KNOWS, MODEL
        from diminuendo.core.errors import UserError
        from diminuendo.demo.requests import Requests
        from diminuendo.demo.server import Server
        from diminuendo.runtime.trial import try_out

        if len(models) > MOST_MODELS:
            raise UserError(f"{len(models)} models, expected at most {MOST_MODELS}")
        for model in models:
            try_out(model)
        try:
            with Server(Requests([Path(model) for model in models] or [MODEL]), port) as server:
                if not models:
                    echo(f"the model that comes with diminuendo. {KNOWS}")
                echo(f"{server.url} (Ctrl-C ends it)")
                sys.stdout.flush()
                if browser and _has_screen():
                    import webbrowser

                    webbrowser.open(server.url)
                server.serve_forever()
        except KeyboardInterrupt:
            echo()


def _has_screen() -> bool:
    """Whether there is a desktop: in a bare terminal, ``webbrowser`` would start one that draws with characters."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def add_to(group: click.Group) -> None:
    group.add_command(demo)
