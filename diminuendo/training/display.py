"""What a person sees while a model trains."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from diminuendo.training.checkpoint import Progress


class Display:
    """A progress bar with loss, dev WER and seconds of audio per second."""

    def __init__(self, name: str, total: int, progress: Progress):
        self.started, self.seconds = time.monotonic(), 0.0
        self.loss: float | None = None
        self.dev_wer = next((row["dev_wer"] for row in reversed(progress.history) if "dev_wer" in row), None)
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
        if self.dev_wer is not None:
            shown["dev WER"] = f"{self.dev_wer:.1%}"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def close(self) -> None:
        self.bar.close()
