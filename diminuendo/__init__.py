"""diminuendo makes speech recognition models small, and can prove where each one came from."""

import diminuendo.core.telemetry  # noqa: F401  before any tool that would report to its maker is imported

__version__ = "0.1.0"
