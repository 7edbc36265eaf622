"""Measurements behind the choices that ``docs/`` explains; each prints the table it is quoted with."""
