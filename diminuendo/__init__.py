"""diminuendo makes speech recognition models small, and can prove where each one came from."""

__version__ = "0.1.0"
