"""What a person sees while a model trains."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from diminuendo.training.checkpoint import Progress, on_dev


class Display:
    """A progress bar with loss, errors on dev and seconds of audio per second."""

    def __init__(self, name: str, total: int, progress: Progress):
        self.started, self.seconds = time.monotonic(), 0.0
        self.loss: float | None = None
        self.on_dev = next(filter(None, map(on_dev, reversed(progress.history))), {})
        # Logs get a line now and then, terminals a moving bar.
        interval = 0.5 if sys.stderr.isatty() else 15
        self.bar = tqdm(
            total=total, initial=progress.step, desc=name, unit="step", mininterval=interval, dynamic_ncols=True
        )

    def advance(self, seconds: float) -> None:
        """One step more, of a batch with so many seconds of audio."""
        self.seconds += seconds
        speed = self.seconds / max(time.monotonic() - self.started, 1e-6)
        shown = {"audio": f"{speed:.0f}x"}
        if self.loss is not None:
            shown = {"loss": f"{self.loss:.3f}", **shown}
        for name, value in self.on_dev.items():
            shown[f"dev {name.removeprefix('dev_').upper()}"] = f"{value:.1%}"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def close(self) -> None:
        self.bar.close()
