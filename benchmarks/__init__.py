"""Measurements behind the choices that ``docs/`` explains; each prints the table it is quoted with."""

import diminuendo  # noqa: F401  switches reports to the makers of tools off, before any is imported
